"""The user's data folder: what may be wrong with it, said once for all loaders."""

from __future__ import annotations

import os
from pathlib import Path

HOW_TO_SET = "set paths.data or the environment variable SCD_DATA to the folder that holds your data"


def check_data_folder(data_dir: str | os.PathLike[str]) -> Path:
    """Return the data folder as a path with ``~`` resolved; it may be missing, but nothing else may stand there.

    Parameters
    ----------
    data_dir : path
        The folder, ``paths.data`` in the configuration.

    Raises
    ------
    ValueError
        If it is empty, a file, or a folder that cannot be read.
    """
    if not str(data_dir or "").strip():
        raise ValueError(f"The data folder must be a path, got {data_dir!r}; {HOW_TO_SET}.")
    folder = Path(data_dir).expanduser()
    try:
        os.listdir(folder)
    except FileNotFoundError:
        pass  # a prepared file elsewhere may make it needless
    except NotADirectoryError:
        raise ValueError(f"The data folder must be a folder, got a file at {folder}; {HOW_TO_SET}.") from None
    except OSError as error:
        raise ValueError(
            f"The data folder {folder} cannot be read ({error.strerror}); change its permissions, or {HOW_TO_SET}."
        ) from None
    return folder


def ensure_data_folder(folder: Path) -> None:
    """Create the data folder where that is what the user means, before something is downloaded into it.

    Inside the user's home or cache folder, where the default lies, a missing folder is made. Anywhere else a missing
    folder is more likely a slip of the pen or a disk that is not mounted, and filling it would hide that.

    Raises
    ------
    FileNotFoundError
        If the folder is missing elsewhere, or cannot be made.
    """
    if folder.is_dir():
        return
    places = [os.environ.get("XDG_CACHE_HOME"), os.path.expanduser("~")]
    here = Path(os.path.abspath(folder))
    if not any(here.is_relative_to(os.path.abspath(place)) for place in places if place):
        raise FileNotFoundError(
            f"the data folder {folder} does not exist; create it (mkdir -p {folder}), or {HOW_TO_SET}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(
            f"the data folder {folder} cannot be created ({error.strerror}); {HOW_TO_SET}"
        ) from None
