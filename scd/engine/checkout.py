"""In a checkout: `scd.attacks` and `scd.foreign` as other names of the folders `attacks` and `baselines/foreign`.

A wheel holds these folders as packages below `scd`, so that it claims no other top-level name (pyproject.toml). In a
checkout they are rooms of their own, and a class must be the same object under both names. The modules in these
folders import one another relatively, so that they work under either name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

_ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = {"scd.attacks": "attacks", "scd.foreign": "baselines.foreign"}
"""Name in a wheel and name in a checkout."""


class _OtherName(MetaPathFinder, Loader):
    """Finds a module of `_FOLDERS` by its name in a wheel, and loads it once, by its name in the checkout."""

    def __init__(self) -> None:
        self._own_specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load the module; None for others, and where the checkout's folders cannot be imported."""
        folder = ".".join(name.split(".")[:2])
        if folder not in _FOLDERS or not _is_importable(_FOLDERS[folder]):
            return None
        return spec_from_loader(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module, which then gets `spec` as its own."""
        folder = ".".join(spec.name.split(".")[:2])
        module = import_module(_FOLDERS[folder] + spec.name[len(folder) :])
        self._own_specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the spec back that it was loaded by."""
        assert module.__spec__ is not None
        module.__spec__ = self._own_specs.pop(module.__spec__.name)


def _is_importable(package: str) -> bool:
    """Whether this name is the checkout's folder: not in an editable install that is used from elsewhere."""
    top, _, _ = package.partition(".")
    loaded = sys.modules.get(top)
    spec = find_spec(top) if loaded is None else loaded.__spec__
    return spec is not None and spec.origin == str(_ROOT / top / "__init__.py")


def use_other_names() -> None:
    """Make the names known, unless this is an installed wheel."""
    if not (_ROOT / "scd" / "attacks").is_dir():
        sys.meta_path.insert(0, _OtherName())
