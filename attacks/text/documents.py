"""Checks of the documents and the callables that a user gives to an attack on texts."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attacks.engine.validation import Described, read_ints, refuse
from attacks.text.result import Document

Part = str | Callable[..., Any]
"""A part of an attack that can be exchanged: a name, the dotted path of a callable, or the callable."""


def read_documents(
    owner: str, documents: Sequence[Sequence[str]], y: ArrayLike, index: ArrayLike | None
) -> tuple[list[Document], NDArray[np.int64], NDArray[np.int64]]:
    """The documents as lists of tokens, their labels and numbers.

    Raises
    ------
    ValueError
        No document, one that is not a list of tokens, labels other than 0 and 1, lengths that differ.
    """
    if isinstance(documents, str) or not len(documents):
        raise refuse(owner, "documents", "a list of documents, at least one", documents)
    numbers = read_ints(owner, "index", np.arange(len(documents)) if index is None else index, len(documents))
    texts = []
    for number, document in zip(numbers, documents, strict=True):
        if isinstance(document, str) or not all(isinstance(token, str) for token in document):
            raise refuse(owner, "documents", "lists of tokens", Described(f"{document!r:.60} as document {number}"))
        texts.append([str(token) for token in document])
    labels = read_ints(owner, "y", y, len(texts))
    if not np.isin(labels, (0, 1)).all():
        raise refuse(owner, "y", "labels 0 and 1", Described(str(np.unique(labels).tolist())))
    return texts, labels, numbers


def read_part(owner: str, name: str, value: Any, own: str) -> Part:
    """Check an exchangeable part: `own`, "none", a dotted path or a callable."""
    if callable(value) or value in (own, "none"):
        part: Part = value
        return part
    allowed = f"'{own}', 'none', a callable or its dotted path such as 'package.module.function'"
    if not isinstance(value, str) or "." not in value.strip("."):
        raise refuse(owner, name, allowed, value)
    try:
        found = imported(value)
    except (ImportError, AttributeError) as error:
        raise refuse(owner, name, allowed, Described(f"{value!r}, which cannot be imported ({error}),")) from error
    if not callable(found):
        raise refuse(owner, name, allowed, value)
    return str(value)


def imported(path: str) -> Any:
    """What a dotted path names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def called(part: Part) -> Callable[..., Any] | None:
    """The callable of a checked part that is not the attack's own; None for "none"."""
    if not isinstance(part, str):
        return part
    found: Callable[..., Any] | None = None if part == "none" else imported(part)
    return found


def described(part: Any) -> str:
    """A part or parameter as text that is the same in every process."""
    return f"{part.__module__}.{part.__qualname__}" if callable(part) and hasattr(part, "__qualname__") else repr(part)
