"""A classifier that was trained elsewhere, as an ensemble of one vote."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Options, StrOptions

from scd.ensemble import Progress, VoteEnsemble
from scd.storage import Vote

from .outputs import ClassForward, Predictor

_IDENTITY = "identity"


class ForeignModel(VoteEnsemble):
    """Base of models that are not trained here. The vote in the store only says which model it is.

    A subclass has the parameters of `_parameter_constraints`, and implements `_identity` and `_predictor`.
    """

    shard_votes: ClassVar[int] = 1
    multiclass: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_votes": [Options(Integral, {1})],
        "voting": [StrOptions({"hard", "mean"})],
        "classes": [list, tuple, None],
        "class_names": [list, tuple],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    classes: Any
    class_names: Any
    _known: tuple[str, Predictor] | None = None  # the model that was loaded, and what it depends on

    @abstractmethod
    def _identity(self) -> str:
        """What tells this model from others, such as the sha256 of its file."""

    @abstractmethod
    def _predictor(self) -> Predictor:
        """The loaded model."""

    def check_params(self) -> Any:
        """See :meth:`scd.ensemble.VoteEnsemble.check_params`."""
        super().check_params()
        given = self.classes
        names = [str(each) for each in given] if isinstance(given, Iterable) and not isinstance(given, str) else []
        if given is not None and (len(names) < 2 or len(set(names)) < len(names)):
            raise ValueError(
                f"The 'classes' parameter of {type(self).__name__} must be two or more names of the model's classes. "
                f"Got {given!r} instead."
            )
        return self

    def _train(
        self, X: NDArray[Any], y: NDArray[Any], votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        self._loaded()  # a file that cannot be read is refused here
        return [{_IDENTITY: np.array(self._identity())} for _ in votes]

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        def check(vote: Vote) -> None:
            known = str(vote.get(_IDENTITY))
            if known != self._identity():
                raise ValueError(f"it is of the model {known[:12]}…, not of {self._identity()[:12]}….")

        return check

    def _stack(self, votes: list[Vote]) -> ClassForward:
        return ClassForward(self._loaded(), self.class_names, self.classes)

    def _loaded(self) -> Predictor:
        """The model, loaded once for these parameters."""
        key = f"{self._identity()} {sorted(self.get_params(deep=False).items())!r}"
        if self._known is None or self._known[0] != key:
            self._known = (key, self._predictor())
        return self._known[1]
