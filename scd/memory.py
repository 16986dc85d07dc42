"""Memory budgets as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_bytes(budget: int | str) -> int:
    """Return a number of bytes from an int or a text such as ``2GiB`` or ``500 MB``."""
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        return budget
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", budget) if isinstance(budget, str) else None
    if not match or match[2].upper() not in _UNITS or float(match[1]) <= 0:
        raise ValueError(
            f"The 'memory_budget' parameter must be a positive number of bytes such as 2147483648 or '2GiB'. "
            f"Got {budget!r} instead."
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])
