"""When compiled code is stored, and when it is compiled again.

Numba recompiles a function when its own source file changes, but not when a file it inlines functions from does. It
also ends the program if a cache file is damaged or the cache folder cannot be written. Here

- compiled code is valid for the sources that it can contain: the function's file and the project's modules that this
  file imports, directly or not;
- every data file begins with a checksum: a damaged one is compiled again;
- a folder that cannot be written costs a warning and the time of compiling at the next start, not the run;
- processes that start together, as jobs of a sweep do, share the work: one compiles a function, the others read it.

The folder is that of :mod:`scd.cache_folder`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import os
import pickle
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy
from numba.core import caching, config
from numba.core.compiler_lock import global_compiler_lock

from scd.cache_folder import cache_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 120.0  # seconds
_IMPORT = re.compile(r"^(?:from ([\w.]+) import (?:\(([^)]*)\)|(.*))|import ([\w.]+))", re.MULTILINE)


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Like ``numba.njit(cache=True, **options)``, with this module's cache and without wrappers for C.

    With ``NUMBA_DISABLE_JIT=1`` the function raises a RuntimeError: the kernels have parts that are no Python.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if vars(config)["DISABLE_JIT"]:
            return _not_compiled(function)
        dispatcher = numba.njit(**{"no_cfunc_wrapper": True, **options})(function)
        dispatcher.compile = _shared(dispatcher.compile, f"{function.__module__}.{function.__qualname__}")
        if cache_folder() is not None:
            dispatcher._cache = _Cache(dispatcher.py_func)
        return dispatcher

    return decorate


def _shared(compile: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """`compile` of the function with this name: one process compiles a signature, others wait and read the result.

    Meanwhile garbage is not collected: that takes a tenth of the time of compiling and finds little.
    """

    @functools.wraps(compile)
    def run(signature: Any) -> Any:
        collecting = gc.isenabled()
        with global_compiler_lock, _alone(f"{name}{signature}"):
            gc.disable()
            try:
                return compile(signature)
            finally:
                if collecting:
                    gc.enable()

    return run


@contextlib.contextmanager
def _alone(what: str) -> Iterator[None]:
    """Wait while another process is at this, up to `_PATIENCE` seconds: it may be suspended."""
    file, first = _lock_file(), int.from_bytes(hashlib.sha256(what.encode()).digest()[:7], "big")
    deadline = time.monotonic() + _PATIENCE
    while file is not None and not _lock(file, first) and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        yield
    finally:
        if file is not None:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, first)


def _lock(file: int, first: int) -> bool:
    """Lock one byte of the file; the system frees it if this process ends."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, first)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


@functools.cache
def _lock_file() -> int | None:
    folder = cache_folder()
    if folder is None or fcntl is None:
        return None
    try:
        return os.open(folder / "compiling.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _not_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError(
            "This needs compiled code, which the environment variable NUMBA_DISABLE_JIT switches off: unset it."
        )

    return refuse


@functools.cache
def source_digest(path: Path) -> str:
    """Digest of a file and of all modules of the project that it imports at its top level, directly or not."""
    digest, waiting, seen = hashlib.sha256(numpy.__version__.encode()), [path], {path}  # it holds the layout of arrays
    while waiting:
        content, imported = _read(waiting.pop())
        digest.update(content)
        waiting += sorted(imported - seen)
        seen |= imported
    return digest.hexdigest()


@functools.cache
def _read(path: Path) -> tuple[bytes, frozenset[Path]]:
    """Digest of one file, and the project's files that it imports."""
    source = path.read_bytes()
    imported = set()
    for module, in_parentheses, in_line, plain in _IMPORT.findall(source.decode()):
        within = module if module.endswith(".") else f"{module}."  # "." of `from . import name`
        names = [module or plain, *(within + name for name in re.findall(r"\w+", in_parentheses or in_line))]
        imported |= {file for name in names if (file := _file_of(name, path)) is not None}
    return hashlib.sha256(source).digest(), frozenset(imported)


def _file_of(module: str, importer: Path) -> Path | None:
    name = module.lstrip(".")  # the dots of a relative import: the importer's folder, its parent, ...
    folder = importer.parents[len(module) - len(name) - 1] if name != module else _ROOT
    base = folder.joinpath(*name.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


class _Locator(caching._CacheLocator):
    """A subfolder for each module, and the digest of all sources that its functions can contain."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._py_file = str(source)  # the name that Numba's warnings look for
        self._source, self._folder = source, folder

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return source_digest(self._source)

    def get_disambiguator(self) -> str:
        return "0"  # no two functions of a file have the same name

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator | None:
        folder = cache_folder()
        # compiled code imports its module by name, and a file may have two names: see scd/engine/checkout.py
        return None if folder is None else cls(Path(py_file).resolve(), folder / py_func.__module__)


class _Results(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 (as Numba has it)


class _Files(caching.IndexDataCacheFile):
    """Data files begin with their own digest; an index that cannot be read is an empty one."""

    def _load_index(self) -> dict[Any, str]:
        try:
            index: dict[Any, str] = super()._load_index()
            return index
        except Exception:  # whatever unpickling of a damaged file may raise
            return {}

    def _load_data(self, name: str) -> Any:
        data = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise OSError(f"{self._data_path(name)} is damaged")  # Numba then compiles and writes it again
        return pickle.loads(data[32:])

    def _save_data(self, name: str, data: Any) -> None:
        pickled = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(pickled).digest() + pickled)


class _Cache(caching.FunctionCache):
    _impl_class = _Results

    def __init__(self, py_func: Callable[..., Any]) -> None:
        super().__init__(py_func)
        files = self._cache_file
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, files._source_stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_once(self._cache_path, str(error))


@functools.cache
def _warn_once(folder: str, why: str) -> None:
    warnings.warn(
        f"Compiled code could not be stored in {folder} ({why}): it will be compiled again at the next start. "
        "Free space there, or set NUMBA_CACHE_DIR to another folder.",
        RuntimeWarning,
        stacklevel=2,
    )
