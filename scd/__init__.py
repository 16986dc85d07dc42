"""Sign-activation networks trained by stochastic coordinate descent.

``from scd import SCDClassifier``, and the attacks: ``from scd.attacks import HopSkipJump``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scd.engine.checkout import use_other_names

if TYPE_CHECKING:
    from scd.classifier import SCDClassifier

__version__ = "0.1.0"
"""The version of the project; pyproject.toml reads it from here."""

__all__ = ["SCDClassifier"]

use_other_names()


def __getattr__(name: str) -> Any:
    if name == "SCDClassifier":  # torch and Numba are imported when first needed
        from scd.classifier import SCDClassifier

        return SCDClassifier
    raise AttributeError(f"module 'scd' has no attribute {name!r}")
