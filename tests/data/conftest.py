"""What several data tests need: a miniature of CIFAR-10's official files, and a toy set for the prepared cache.

Nothing is imported from here: tests reach it through the fixtures, whatever pytest's import mode.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.loading.cache import Arrays, load_or_make

BATCHES = "cifar-10-batches-py"
REFUSED = "http://127.0.0.1:9/cifar-10-python.tar.gz"  # no server there: the same as no network


@dataclass
class MiniCifar:
    """60 training images in five batches and 20 test images, every class 6 and 2 times."""

    batches = BATCHES
    files: dict[str, bytes]
    images: dict[str, np.ndarray]  # split -> (n, 3, 32, 32) uint8, as in the official files
    labels: dict[str, np.ndarray]

    def write(self, folder: Path) -> None:
        """Put the official files into a data folder."""
        (folder / BATCHES).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / BATCHES / name).write_bytes(content)

    def archive(self) -> bytes:
        """Pack the official files as the download does."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, content in self.files.items():
                member = tarfile.TarInfo(f"{BATCHES}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return packed.getvalue()


def _md5(content: bytes) -> str:
    """Checksum in the form torchvision compares."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def mini_cifar(monkeypatch: pytest.MonkeyPatch) -> MiniCifar:
    """Make torchvision's CIFAR10 expect the miniature, and leave it without a network."""
    from torchvision.datasets import CIFAR10

    rng = np.random.default_rng(10)
    images = {split: rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8) for split, n in (("train", 60), ("test", 20))}
    labels = {split: rng.permutation(np.arange(len(x)) % 10) for split, x in images.items()}
    files = {"batches.meta": pickle.dumps({"label_names": [str(c) for c in range(10)]})}
    for i in range(5):
        part = slice(12 * i, 12 * i + 12)
        batch = {"data": images["train"][part].reshape(12, -1), "labels": labels["train"][part].tolist()}
        files[f"data_batch_{i + 1}"] = pickle.dumps(batch)
    files["test_batch"] = pickle.dumps({"data": images["test"].reshape(20, -1), "labels": labels["test"].tolist()})

    train_list = [[f"data_batch_{i}", _md5(files[f"data_batch_{i}"])] for i in range(1, 6)]
    monkeypatch.setattr(CIFAR10, "train_list", train_list)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", _md5(files["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": _md5(files["batches.meta"])})
    monkeypatch.setattr(CIFAR10, "url", REFUSED)
    return MiniCifar(files, images, labels)


class Folders:
    """A data folder, an outputs folder, and how often the arrays were made."""

    def __init__(self, root: Path) -> None:
        self.data, self.outputs = root / "data", root / "outputs"
        self.npz, self.json = (self.data / "prepared" / f"toy.{ending}" for ending in ("npz", "json"))
        self.data.mkdir(parents=True)
        self.made = 0

    def make(self) -> Arrays:
        """Make the toy arrays; always the same."""
        self.made += 1
        rng = np.random.default_rng(0)
        return {
            "x_train": rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8),
            "y_train": (np.arange(40) % 2).astype(np.uint8),
            "x_test": rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
            "y_test": (np.arange(6) % 2).astype(np.uint8),
        }

    def cannot_make(self) -> Arrays:
        """Official files that are missing."""
        raise FileNotFoundError("the official files are not here; get them from there")

    def load(self, make: Any = None) -> tuple[Arrays, dict[str, Any]]:
        """Load the toy set."""
        return load_or_make("toy", self.data, self.outputs, make or self.make, "a source")

    def files(self) -> list[str]:
        """List every file below the two folders."""
        root = self.data.parent
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def assert_right(self, arrays: Arrays) -> None:
        """The arrays must equal the toy arrays, types included."""
        made, expected = self.made, self.make()
        self.made = made
        assert arrays.keys() == expected.keys()
        for key, array in expected.items():
            np.testing.assert_array_equal(arrays[key], array)
            assert arrays[key].dtype == array.dtype


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Two folders without a prepared file."""
    return Folders(tmp_path)
