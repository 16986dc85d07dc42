"""Devices, threads and memory budgets: what users write for them and what it means on this machine.

torch and Numba are imported where they are used, so that this module is cheap to import.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from numbers import Integral
from typing import Any

_SMALL_WORK = 100_000  # array elements; below this, handing work to a thread costs more than doing it
_OLD_KERNELS = {"Prescott", "Core2", "Penryn", "Nehalem"}  # of OpenBLAS, without AVX
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def resolve_device(device: Any, owner: str = "") -> str:
    """Return the torch device that `device` means; "auto" is CUDA where there is a CUDA device, else the CPU.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}, "cuda:<number>" or torch.device
    owner : str
        Class with this parameter, for the error message.

    Raises
    ------
    ValueError
        If the name is unknown, or CUDA is requested and torch finds no CUDA device.
    """
    if device == "auto":
        return "cuda" if cuda_is_available() else "cpu"
    parameter = f"The 'device' parameter of {owner}" if owner else "The 'device' parameter"
    if (torch := sys.modules.get("torch")) is not None and isinstance(device, torch.device):
        device = str(device) if device.type == "cuda" else device.type
    if not isinstance(device, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"{parameter} must be 'auto', 'cpu' or 'cuda'. Got {device!r} instead.")
    if device != "cpu" and not cuda_is_available():
        raise ValueError(
            f"{parameter} must be 'auto' or 'cpu', for torch finds no CUDA device. Got {device!r} instead. "
            "Use device=cpu or device=auto, or install a CUDA build of torch and a driver."
        )
    return device


def cuda_is_available() -> bool:
    """Whether torch finds a CUDA device.

    Importing torch takes seconds, so it is not imported where the system has no driver: then it finds none.
    """
    if "torch" not in sys.modules and sys.platform == "linux" and not _has_driver():
        return False
    import torch

    return torch.cuda.is_available()


@cache
def _has_driver() -> bool:
    if os.path.exists("/dev/kfd"):  # AMD's, which torch calls CUDA, too
        return True
    try:
        ctypes.CDLL("libcuda.so.1")  # as torch does
    except OSError:
        return False
    return True


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


def cores(n_jobs: int | None = -1) -> int:
    """Number of threads that `n_jobs` means, as in joblib: -1 is one for each core that this process may use.

    Counted are the cores of the process's affinity and of its cgroup, at most ``NUMBA_NUM_THREADS`` if that is set.
    """
    from joblib import effective_n_jobs
    from numba import config

    jobs: int = effective_n_jobs(n_jobs)
    return max(1, min(jobs, vars(config)["NUMBA_NUM_THREADS"])) if n_jobs is not None and n_jobs < 0 else jobs


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


@cache
def _available() -> int:
    return cores()  # which reads files of the system


@cache
def _pool(_process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scd")


def in_threads(work: Callable[[int, int], None], length: int, elements: int) -> None:
    """Run ``work(begin, end)`` over 0..length-1, split among the threads.

    Parameters
    ----------
    work : callable
        Processes the items begin..end-1 without the GIL; its results must not depend on where the cuts are.
    length : int
        Number of items.
    elements : int
        Size of the whole work in array elements; small work is done in this thread.
    """
    threads = 1 if elements < _SMALL_WORK else min(_available(), length)
    if threads < 2:
        work(0, length)
        return
    cuts = [length * k // threads for k in range(threads + 1)]
    # a forked child inherits the pool object without its threads, hence the process number in the key
    pool = _pool(os.getpid(), _available())
    for done in [pool.submit(work, begin, end) for begin, end in pairwise(cuts)]:
        done.result()


def slow_blas() -> str | None:
    """Return a sentence if NumPy's OpenBLAS does not know this processor and uses the kernels of a much older one.

    An OpenBLAS that is older than its processor may take kernels of SSE3 where there is AVX-512. Then a matrix product
    takes five times as long. OpenBLAS reads its choice from the environment while it loads, and another one changes
    the last bits of products, so it is left to the user.
    """
    if os.environ.get("OPENBLAS_CORETYPE"):
        return None
    from threadpoolctl import threadpool_info

    kernels = {lib["architecture"] for lib in threadpool_info() if "numpy" in lib["filepath"] and "architecture" in lib}
    flags = _processor_flags()
    if not kernels & _OLD_KERNELS or "avx2" not in flags:
        return None
    better = "SkylakeX" if "avx512vl" in flags else "Haswell"
    return (
        f"NumPy's OpenBLAS does not know this processor and uses the kernels of an old one ({min(kernels)}). "
        f"OPENBLAS_CORETYPE={better} before the command makes matrix products several times as fast."
    )


def _processor_flags() -> set[str]:
    """What the processor can do, as Linux names it; empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return set()
    return set(line.partition(":")[2].split())
