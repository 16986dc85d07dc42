"""Black-box attacks on classifiers, their white-box control, and certificates; on any callable, without Hydra.

>>> from scd.attacks import HopSkipJump
>>> result = HopSkipJump(max_iter=20, restarts=2)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the types of `_MODULES` for mypy and editors
    from .boundary import BoundaryAttack as BoundaryAttack
    from .boundary_art import BoundaryAttackART as BoundaryAttackART
    from .certificate import Certificate as Certificate
    from .cgba import CGBA as CGBA
    from .hopskipjump import HopSkipJump as HopSkipJump
    from .hsj_art import HopSkipJumpART as HopSkipJumpART
    from .leaf_tuple import LeafTuple as LeafTuple
    from .noise_search import NoiseSearch as NoiseSearch
    from .oracle import LabelOracle as LabelOracle
    from .oracle import QueryBudgetExceeded as QueryBudgetExceeded
    from .rays import RayS as RayS
    from .result import AttackResult as AttackResult
    from .sign_pattern import SignPattern as SignPattern
    from .signopt import SignOPT as SignOPT
    from .signopt_art import SignOPTART as SignOPTART
    from .smoothed_boundary import SmoothedBoundary as SmoothedBoundary
    from .smoothing import RandomizedSmoothing as RandomizedSmoothing
    from .substitute import Substitute as Substitute
    from .surfree import SurFree as SurFree
    from .surrogate import Surrogate as Surrogate
    from .text.result import TextResult as TextResult
    from .textfooler import TextFooler as TextFooler
    from .transfer import Transfer as Transfer
    from .whitebox import WhiteBox as WhiteBox

_MODULES = {
    "AttackResult": ".result",
    "BoundaryAttack": ".boundary",
    "BoundaryAttackART": ".boundary_art",
    "CGBA": ".cgba",
    "Certificate": ".certificate",
    "HopSkipJump": ".hopskipjump",
    "HopSkipJumpART": ".hsj_art",
    "LabelOracle": ".oracle",
    "LeafTuple": ".leaf_tuple",
    "NoiseSearch": ".noise_search",
    "QueryBudgetExceeded": ".oracle",
    "RandomizedSmoothing": ".smoothing",
    "RayS": ".rays",
    "SignOPT": ".signopt",
    "SignOPTART": ".signopt_art",
    "SignPattern": ".sign_pattern",
    "SmoothedBoundary": ".smoothed_boundary",
    "Substitute": ".substitute",
    "SurFree": ".surfree",
    "Surrogate": ".surrogate",
    "TextFooler": ".textfooler",
    "TextResult": ".text.result",
    "Transfer": ".transfer",
    "WhiteBox": ".whitebox",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # a module is loaded when its class is used: the attacks load Numba, which takes half a second
    if name in _MODULES:
        return getattr(import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
