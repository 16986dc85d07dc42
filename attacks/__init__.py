"""Attacks on a classifier of which only the answers are seen. Each works on any callable, without Hydra.

>>> from attacks import HopSkipJump
>>> result = HopSkipJump(max_iter=20, restarts=2)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from attacks.oracle import LabelOracle, QueryBudgetExceeded
from attacks.record import AttackResult

if TYPE_CHECKING:
    from attacks.hopskipjump import HopSkipJump
    from attacks.hsj_art import HopSkipJumpART

__all__ = ["AttackResult", "HopSkipJump", "HopSkipJumpART", "LabelOracle", "QueryBudgetExceeded"]

_HOMES = {"HopSkipJump": "attacks.hopskipjump", "HopSkipJumpART": "attacks.hsj_art"}


def __getattr__(name: str) -> Any:
    # the attacks load Numba, half a second that whoever needs only the record types should not wait for
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attacks' has no attribute {name!r}")
