"""Large text sets, tokenised once: their documents in the prepared cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data.loading.cache import Arrays, load_or_make
from data.text.documents import Documents
from data.text.files import Labelled


def load_or_tokenise(
    name: str, folder: Path, outputs_dir: str | os.PathLike[str], make: Callable[[], dict[str, Labelled]], source: str
) -> tuple[dict[str, Labelled], dict[str, Any]]:
    """Load the documents of both splits from ``prepared/<name>.npz``, or `make` them and keep them there.

    Parameters and errors are those of :func:`data.loading.cache.load_or_make`.

    Returns
    -------
    splits : dict of (Documents, (n,) int64 ndarray)
        By "train" and "test".
    provenance : dict
    """

    def arrays_of() -> Arrays:
        made: Arrays = {}
        for split, (documents, y) in make().items():
            made.update({**documents.to_arrays(split), f"y_{split}": y.astype(np.uint8)})
        return made

    arrays, provenance = load_or_make(name, folder, outputs_dir, arrays_of, source, _check)
    splits = {
        split: (Documents.from_arrays(arrays, split), arrays[f"y_{split}"].astype(np.int64))
        for split in ("train", "test")
    }
    return splits, provenance


def _check(arrays: Arrays) -> None:
    for split in ("train", "test"):
        if arrays[f"y_{split}"].shape != (len(Documents.from_arrays(arrays, split)),):
            raise ValueError(f"y_{split} must be one label per document")
