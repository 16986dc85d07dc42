"""A trained model from a file: skops, XGBoost, LightGBM, ONNX, Keras; torch.export and pickles if they are trusted."""

from __future__ import annotations

from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

from baselines.foreign.formats import Format, Request, formats, needed
from baselines.foreign.model import ForeignModel
from baselines.foreign.outputs import Predictor, check_features
from scd.files import file_sha256


class FileModel(ForeignModel):
    """A trained classifier, loaded from its file and never trained.

    Of a model with more classes than the data set only the scores of the data set's are compared.

    Parameters
    ----------
    path : str
        The ending says what it is:

        ====================== ==================================================================================
        .skops                 a scikit-learn-compatible classifier, written by ``skops.io.dump``
        .ubj, .json            ``Booster.save_model`` or ``XGBClassifier.save_model`` of XGBoost
        .txt                   ``Booster.save_model`` of LightGBM
        .onnx                  scores or labels, computed by ONNX Runtime on the CPU
        .keras                 ``Model.save`` of Keras 3
        .pt2                   ``torch.export.save``; its loader can run code, so it needs `trust_pickle`
        .pkl, .joblib, .pt     pickles: loading one runs whatever code it holds, so it needs `trust_pickle`
        ====================== ==================================================================================
    classes : list of names, optional
        The model's classes that are label 0, label 1 and so on. Default: those with the names of the data set's
        classes, or all, if there are as many. A model without names has the classes 0, 1, …
    threshold : float
        A network with one output predicts the second class above it: 0.5 for probabilities, 0 for logits.
    channels_last : bool
        Whether a network takes images as (height, width, channels).
    trusted : list of str
        Types in a skops file to load besides those that skops trusts, by their full names.
    trust_pickle : bool
        Whether to load formats whose files can run code.
    feature_shape : tuple of int, optional
        Shape of one input. Default: (d,).
    class_names : list of names
        Of the data set's classes.
    feature_names : list of str, optional
        Of the data set's columns; those of a model that knows the names of its features must be the same.
    n_votes, voting, warm_start, random_state, verbose
        As other ensembles have them; there is one vote.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        The vote's array ``identity`` is the sha256 of the file.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ForeignModel._parameter_constraints,
        "path": [str, None],
        "threshold": [Real],
        "channels_last": ["boolean"],
        "trusted": [list, tuple],
        "trust_pickle": ["boolean"],
        "feature_shape": [list, tuple, None],
        "feature_names": [list, tuple, None],
    }

    def __init__(
        self,
        path: str | None = None,
        *,
        classes: Any = None,
        threshold: float = 0.5,
        channels_last: bool = False,
        trusted: Any = (),
        trust_pickle: bool = False,
        feature_shape: Any = None,
        class_names: Any = ("0", "1"),
        feature_names: Any = None,
        n_votes: int = 1,
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.path = path
        self.classes = classes
        self.threshold = threshold
        self.channels_last = channels_last
        self.trusted = trusted
        self.trust_pickle = trust_pickle
        self.feature_shape = feature_shape
        self.class_names = class_names
        self.feature_names = feature_names
        self.n_votes = n_votes
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def check_params(self) -> Any:
        """See :meth:`scd.ensemble.VoteEnsemble.check_params`; the file must be there, and what reads it installed."""
        super().check_params()
        kind = self._format()
        try:
            needed(kind.package, kind.install, f"A model of the form .{self._ending()}")
        except ImportError as error:
            raise ValueError(str(error)) from error
        return self

    def inputs(self) -> dict[str, str]:
        """The checksum of the file, which decides the predictions."""
        return {"file": self._identity()}

    def _file(self) -> Path:
        if not self.path:
            raise ValueError(
                f"The 'path' parameter of FileModel must be the file of a trained model. Got {self.path!r} instead."
            )
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise ValueError(f"The 'path' parameter of FileModel must be a file, but {self.path} does not exist.")
        return path

    def _ending(self) -> str:
        return self._file().suffix.lower().removeprefix(".")

    def _format(self) -> Format:
        known, ending = formats(), self._ending()
        if ending not in known:
            raise ValueError(
                f"The 'path' parameter of FileModel must end in {', '.join(f'.{each}' for each in known)}. "
                f"Got {self.path!r} instead."
            )
        if known[ending].runs_code and not self.trust_pickle:
            raise ValueError(
                f"Loading {self.path} can run code that it holds: give model.trust_pickle=true if you trust its "
                "author, or save the model as .onnx, .skops or in another form that holds no code."
            )
        return known[ending]

    def _identity(self) -> str:
        return file_sha256(self._file())

    def _predictor(self) -> Predictor:
        shape = (-1,) if self.feature_shape is None else tuple(self.feature_shape)
        request = Request(self._file(), shape, float(self.threshold), self.channels_last, tuple(self.trusted))
        kind = self._format()
        try:
            made = kind.load(request)
            if self.feature_names is not None:
                check_features(made, self.feature_names, "the data set")
            return made
        except ImportError:
            raise
        except Exception as error:  # loaders of damaged files raise almost anything
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"The model file {self.path} cannot be used: {first}") from error
