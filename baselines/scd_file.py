"""Sign networks that were trained elsewhere: votes of the paper's authors, or an ensemble saved by `SCDClassifier`."""

from __future__ import annotations

import pickle
import re
import zipfile
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from scd.devices import resolve_device
from scd.engine.sign_networks import SignNetworks
from scd.ensemble import Progress
from scd.files import file_sha256
from scd.storage import Vote, load_votes

_KEYS = ("fc1_si.weight", "fc1_si.bias", "fc2_si.weight", "fc2_si.bias")
_UNIT = 0.2236  # output of a hidden unit in the authors' programs
_UNREADABLE = (
    RuntimeError, ValueError, TypeError, AttributeError, EOFError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError
)  # fmt: skip


class SCDFile(SignNetworks):
    """An ensemble of sign networks, loaded from files and never trained. No code in a file is run.

    Parameters
    ----------
    path : str
        A folder with a file ``*.pt`` for each vote, in the order of the numbers in their names: state dicts of the
        authors' programs (github.com/xyzacademic/mlp01example, class ``mlp01scd``). Or a file ``*.npz``, written by
        :meth:`scd.SCDClassifier.save`.
    n_votes : int
        The first votes of them; the authors published eight.
    channels_last : bool
        Whether the votes of a folder take images as (height, width, channels), as the authors' do.
    feature_shape : tuple of int, optional
        Shape of one input, (channels, height, width) of an image. Default: (d,).
    device : {"auto", "cpu", "cuda"} or a torch device
    voting : {"hard", "mean"}
    warm_start, random_state, verbose
        As other ensembles have them, without effect.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`

    Notes
    -----
    The authors' network is 1 where ``0.2236 sum_k w_k sign(x . W_k + b_k) + c > 0``, with 0.2236 for the inverse of
    the square root of 20 units. The rounding matters: c is often just what the signs of the units add up to. With units
    of 0 and 1 that is ``a . w > (sum(w) - c / 0.2236) / 2``.
    """

    keeps_inputs: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "path": [str, None],
        "n_votes": [Interval(Integral, 1, None, closed="left")],
        "channels_last": ["boolean"],
        "feature_shape": [list, tuple, None],
        "device": [str],
        "voting": [StrOptions({"hard", "mean"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        path: str | None = None,
        *,
        n_votes: int = 8,
        channels_last: bool = True,
        feature_shape: Any = None,
        device: str = "auto",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.path = path
        self.n_votes = n_votes
        self.channels_last = channels_last
        self.feature_shape = feature_shape
        self.device = device
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def check_params(self) -> Any:
        """See :meth:`scd.ensemble.VoteEnsemble.check_params`; the files must be there."""
        super().check_params()
        resolve_device(self.device)
        self._files()
        return self

    def inputs(self) -> dict[str, str]:
        """The checksums of the files, which decide the predictions."""
        return {str(number): file_sha256(path) for number, path in enumerate(self._files())}

    def _files(self) -> list[Path]:
        """One file of all votes, or that of each vote used."""
        path = Path(self.path or "").expanduser()
        if self.path and path.is_file() and path.suffix == ".npz":
            return [path]
        found = sorted(path.glob("*.pt"), key=_by_numbers) if self.path and path.is_dir() else []
        if not found:
            raise ValueError(
                "The 'path' parameter of SCDFile must be a folder with a file *.pt for each vote, or a file *.npz of "
                f"SCDClassifier.save. Got {self.path!r} instead."
            )
        self._check_count(len(found))
        return found[: self.n_votes]

    def _check_count(self, there: int) -> None:
        if there < self.n_votes:
            raise ValueError(
                f"The 'n_votes' parameter of SCDFile must be at most {there}, the number of votes in {self.path}. "
                f"Got {self.n_votes} instead."
            )

    def _train(
        self, X: NDArray[Any], y: NDArray[Any], votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        files = self._files()
        if files[0].suffix == ".npz":
            stored, _ = load_votes(files[0])
            self._check_count(len(stored))
            loaded = [stored[number] for number in votes]
        else:
            loaded = [self._read(files[number]) for number in votes]
        self.check_votes(loaded, X.shape[1])
        return loaded

    def _read(self, path: Path) -> Vote:
        """Return the vote of an authors' state dict, its features in the order of the data set's."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            hidden, bias, output, output_bias = (state[key].double().numpy() for key in _KEYS)
            h, d = hidden.shape
            output, (c,) = output.reshape(h), output_bias
        except _UNREADABLE as error:
            raise ValueError(
                f"{path} is damaged or not a state dict of tensors with {', '.join(_KEYS)} of one hidden layer."
            ) from error
        shape = tuple(self.feature_shape or (d,))
        if self.channels_last and len(shape) == 3 and np.prod(shape) == d:
            hidden = hidden.reshape(h, *shape[1:], shape[0]).transpose(0, 3, 1, 2).reshape(h, d)
        return {
            "hidden": hidden.astype(np.float32),
            "thresholds": -bias.astype(np.float32),
            "output": output,
            "output_threshold": np.array((output.sum() - c / _UNIT) / 2),
        }


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    """The order of names in which vote_2 is before vote_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
