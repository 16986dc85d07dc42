"""Devices, threads and memory budgets: what users write for them and what it means on this machine.

torch and Numba are imported where they are used, so that this module is cheap to import.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from numbers import Integral
from typing import Any

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def resolve_device(device: Any, owner: str = "") -> str:
    """Return the torch device that `device` means; "auto" is CUDA where there is a CUDA device, else the CPU.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"} or "cuda:<number>"
    owner : str
        Class with this parameter, for the error message.

    Raises
    ------
    ValueError
        If the name is unknown, or CUDA is requested and torch finds no CUDA device.
    """
    import torch

    present = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if present else "cpu"
    parameter = f"The 'device' parameter of {owner}" if owner else "The 'device' parameter"
    if not isinstance(device, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"{parameter} must be 'auto', 'cpu' or 'cuda'. Got {device!r} instead.")
    if device != "cpu" and not present:
        raise ValueError(
            f"{parameter} must be 'auto' or 'cpu', for torch finds no CUDA device. Got {device!r} instead. "
            "Use device=cpu or device=auto, or install a CUDA build of torch and a driver."
        )
    return device


def parse_bytes(budget: Any, owner: str = "", name: str = "memory_budget") -> int:
    """Return a number of bytes from an int or a text such as ``2GiB`` or ``500 MB``.

    Parameters
    ----------
    budget : int or str
    owner, name : str
        Class with this parameter, and the parameter's name, for the error message.

    Raises
    ------
    ValueError
        If `budget` is no size, or less than one byte.
    """
    size = 0.0
    if isinstance(budget, Integral) and not isinstance(budget, bool):
        size = int(budget)
    elif isinstance(budget, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", budget)
        size = float(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0.0
    if size < 1:
        parameter = f"The {name!r} parameter of {owner}" if owner else f"The {name!r} parameter"
        raise ValueError(
            f"{parameter} must be a positive number of bytes, as an int or a text such as '256MiB'. "
            f"Got {budget!r} instead."
        )
    return int(size)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch on one thread: its element-wise operations would compete with Numba's threads for the cores.

    The order of torch's sums then does not depend on the number of threads either. Measured on 2 cores, for one
    iteration of one vote of scdcebnn: 3.2 ms with it, 35 ms without.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_workqueue_lock = threading.RLock()  # Numba ends the program if two threads enter its layer "workqueue" at once
_forked_from_openmp = False


def _note_fork() -> None:
    """In a forked process: record whether compiled code of the parent had started OpenMP's threads."""
    global _forked_from_openmp, _workqueue_lock
    _workqueue_lock = threading.RLock()  # the one of the parent may be held by a thread that is not here
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if parallel is not None and getattr(parallel, "_is_initialized", False):
        _forked_from_openmp = _forked_from_openmp or parallel.threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextlib.contextmanager
def threads_for(tasks: int) -> Iterator[None]:
    """Use at most one Numba thread per task: idle threads still join the barrier, which is slow on a loaded machine.

    All calls of compiled parallel code are made within it. With Numba's threading layer "workqueue", which is not
    thread-safe, they wait for each other.

    Raises
    ------
    RuntimeError
        In a process forked after compiled code has run in its parent: OpenMP would end the process.
    """
    from numba import config, get_num_threads, set_num_threads
    from numba.np.ufunc.parallel import threading_layer

    if _forked_from_openmp:
        raise RuntimeError(
            "Compiled code cannot run in a process that was forked after its parent had run compiled code, since "
            "OpenMP does not survive a fork: start processes by multiprocessing's 'spawn' or 'forkserver', or by "
            "joblib's 'loky'."
        )
    before = get_num_threads()  # starts Numba's threads, which chooses their layer
    alone = not vars(config)["DISABLE_JIT"] and threading_layer() == "workqueue"
    with _workqueue_lock if alone else contextlib.nullcontext():
        set_num_threads(max(1, min(before, tasks)))
        try:
            yield
        finally:
            set_num_threads(before)
