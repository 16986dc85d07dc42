"""Errors that a user sees as one sentence instead of a traceback."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable

_LESS_MEMORY = "Try a smaller memory_budget, e.g. memory_budget=500MiB."
_OUT_OF_MEMORY = re.compile(  # RuntimeErrors of torch's CPU allocator, the CUDA driver, cuBLAS and Triton
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|CUDA(\]:| error:) out of memory|"
    r"CUBLAS_STATUS_ALLOC_FAILED"
)


class UserError(Exception):
    """Something the user can fix, in one sentence.

    Parameters
    ----------
    message : str
        The parameter, what is allowed, what was given, and what to do next.
    code : int
        Exit status: 2 for a bad configuration, found before any work; 1 for a later failure.
    """

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def sentence_for(error: Exception) -> tuple[str, int] | None:
    """Message and exit status for an expected error; None for a bug, which keeps its traceback."""
    if isinstance(error, UserError):
        return str(error), error.code
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if is_out_of_memory(error):
        return f"not enough memory: {first}. {_LESS_MEMORY}", 1
    if isinstance(error, RuntimeError) and "cannot cache function" in first:
        return "Numba finds no folder to cache compiled code in; set NUMBA_CACHE_DIR to one.", 1
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        advice = "Completed work was saved. Fix the problem and run the same command again."
        return f"{error.strerror or error}{where}. {advice}", 1
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed, in the host's or a GPU's memory."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")  # without it, the error cannot be one of its own
    if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean …?`` with the closest known names: of the same group or, if none is close, of any; else ''."""
    groups = {key: key.rpartition(".")[::2] for key in sorted(set(known))}
    group, leaf = name.rpartition(".")[::2]
    for cutoff, candidates in (
        (0.7, {key: own for key, (within, own) in groups.items() if within == group}),
        (0.75, {key: own for key, (_, own) in groups.items()}),
    ):
        likely = difflib.get_close_matches(leaf, sorted(set(candidates.values())), n=2, cutoff=cutoff)
        close = [key for own in likely for key in candidates if candidates[key] == own][:3]
        if close:
            return f" Did you mean {' or '.join(close)}?"
    return ""
