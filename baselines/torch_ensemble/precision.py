"""How CUDA rounds products of float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def cuda_precision(device: str, precision: str) -> Iterator[None]:
    """Compute on CUDA in "float32", "tf32" (products of 10-bit mantissas) or "bf16" (automatic mixed precision).

    Weights are rounded to bfloat16 anew at every use: torch would keep the first copies until the context ends.

    torch's own default for convolutions is TF32. Its switches are the process's; they are put back at the end. The CPU
    always computes in float32.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = precision == "tf32"
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            yield
    finally:
        for switch, allowed in zip(switches, before, strict=True):
            switch.allow_tf32 = allowed
