"""Attacks on a classifier of which only the answers are seen. Each works on any callable, without Hydra.

>>> from attacks import HopSkipJump
>>> result = HopSkipJump(max_iter=20, restarts=2)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attacks.oracle import LabelOracle, QueryBudgetExceeded
from attacks.result import AttackResult
from attacks.text.result import TextResult

if TYPE_CHECKING:
    from attacks.boundary import BoundaryAttack
    from attacks.boundary_art import BoundaryAttackART
    from attacks.cgba import CGBA
    from attacks.hopskipjump import HopSkipJump
    from attacks.hsj_art import HopSkipJumpART
    from attacks.noise_search import NoiseSearch
    from attacks.rays import RayS
    from attacks.substitute import Substitute
    from attacks.surfree import SurFree
    from attacks.textfooler import TextFooler
    from attacks.transfer import Transfer
    from attacks.whitebox import WhiteBox

__all__ = [
    "AttackResult",
    "BoundaryAttack",
    "BoundaryAttackART",
    "CGBA",
    "HopSkipJump",
    "HopSkipJumpART",
    "NoiseSearch",
    "RayS",
    "Substitute",
    "SurFree",
    "TextFooler",
    "TextResult",
    "Transfer",
    "WhiteBox",
    "LabelOracle",
    "QueryBudgetExceeded",
]

_HOMES = {
    "BoundaryAttack": "attacks.boundary",
    "BoundaryAttackART": "attacks.boundary_art",
    "CGBA": "attacks.cgba",
    "HopSkipJump": "attacks.hopskipjump",
    "HopSkipJumpART": "attacks.hsj_art",
    "NoiseSearch": "attacks.noise_search",
    "RayS": "attacks.rays",
    "Substitute": "attacks.substitute",
    "SurFree": "attacks.surfree",
    "TextFooler": "attacks.textfooler",
    "Transfer": "attacks.transfer",
    "WhiteBox": "attacks.whitebox",
}


def __getattr__(name: str) -> Any:
    # the attacks load Numba, half a second that whoever needs only the record types should not wait for
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attacks' has no attribute {name!r}")
