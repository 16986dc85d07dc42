"""Black-box attacks on classifiers, their white-box control, and certificates; on any callable, without Hydra.

>>> from attacks import HopSkipJump
>>> result = HopSkipJump(max_iter=20, restarts=2)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the types of `_MODULES` for mypy and editors
    from attacks.boundary import BoundaryAttack as BoundaryAttack
    from attacks.boundary_art import BoundaryAttackART as BoundaryAttackART
    from attacks.certificate import Certificate as Certificate
    from attacks.cgba import CGBA as CGBA
    from attacks.hopskipjump import HopSkipJump as HopSkipJump
    from attacks.hsj_art import HopSkipJumpART as HopSkipJumpART
    from attacks.noise_search import NoiseSearch as NoiseSearch
    from attacks.oracle import LabelOracle as LabelOracle
    from attacks.oracle import QueryBudgetExceeded as QueryBudgetExceeded
    from attacks.rays import RayS as RayS
    from attacks.result import AttackResult as AttackResult
    from attacks.smoothed_boundary import SmoothedBoundary as SmoothedBoundary
    from attacks.substitute import Substitute as Substitute
    from attacks.surfree import SurFree as SurFree
    from attacks.text.result import TextResult as TextResult
    from attacks.textfooler import TextFooler as TextFooler
    from attacks.transfer import Transfer as Transfer
    from attacks.whitebox import WhiteBox as WhiteBox

_MODULES = {
    "AttackResult": "attacks.result",
    "BoundaryAttack": "attacks.boundary",
    "BoundaryAttackART": "attacks.boundary_art",
    "CGBA": "attacks.cgba",
    "Certificate": "attacks.certificate",
    "HopSkipJump": "attacks.hopskipjump",
    "HopSkipJumpART": "attacks.hsj_art",
    "LabelOracle": "attacks.oracle",
    "NoiseSearch": "attacks.noise_search",
    "QueryBudgetExceeded": "attacks.oracle",
    "RayS": "attacks.rays",
    "SmoothedBoundary": "attacks.smoothed_boundary",
    "Substitute": "attacks.substitute",
    "SurFree": "attacks.surfree",
    "TextFooler": "attacks.textfooler",
    "TextResult": "attacks.text.result",
    "Transfer": "attacks.transfer",
    "WhiteBox": "attacks.whitebox",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # a module is loaded when its class is used: the attacks load Numba, which takes half a second
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'attacks' has no attribute {name!r}")
