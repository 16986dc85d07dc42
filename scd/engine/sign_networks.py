"""What ensembles of sign networks have in common, however they were trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from scd.devices import resolve_device
from scd.ensemble import VoteEnsemble
from scd.storage import Vote, check_network

if TYPE_CHECKING:
    import torch

    from scd.engine.forward import StackedVotes


class SignNetworks(VoteEnsemble):
    """Base of ensembles whose votes have one hidden layer of sign units and one output unit.

    A vote's arrays are those of :class:`scd.engine.forward.StackedVotes`. A subclass has the parameter ``device`` and
    trains the votes.
    """

    _forward: StackedVotes

    differentiable: ClassVar[bool] = True

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        return partial(check_network, first=first, features=features)

    def _stack(self, votes: list[Vote]) -> StackedVotes:
        from scd.engine.forward import StackedVotes  # and Numba, only for those who predict

        names = ("hidden", "thresholds", "output", "output_threshold")
        arrays: dict[str, Any] = {name: np.stack([vote[name] for vote in votes]) for name in names}
        return StackedVotes(**arrays, device=resolve_device(self.device))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """(n,) float64 in [-1, 1]: the mean margin of the votes for (n, d) `X`; above 0 `predict` is the second class.

        A vote's margin is +1 where it predicts the second class and -1 where it predicts the first or, with
        ``voting="mean"``, twice its probability of the second class less 1.
        """
        if self.voting == "hard":
            margin = 2 * self.votes(X).astype(np.int64) - 1
            mean: NDArray[np.float64] = margin.mean(axis=1)
            return mean
        mean = 2 * self.vote_probabilities(X).mean(axis=1) - 1
        return mean

    def smooth(self, x: torch.Tensor, beta: float, gamma: float) -> torch.Tensor:
        """(n,) smoothed fraction of votes for the second class: see :func:`scd.engine.smooth.smooth_share`.

        Differentiable in (n, d) float32 `x`. `beta` is the sharpness of the hidden units, `gamma` that of the votes'
        labels.
        """
        from scd.engine.smooth import smooth_share

        check_is_fitted(self, "votes_")
        return smooth_share(self._forward, x, beta, gamma, self.voting)

    def sign_votes(self) -> list[Vote]:
        """Return the arrays of the votes, for attacks that see the weights: see `votes_`."""
        check_is_fitted(self, "votes_")
        return self.votes_

    def certified_radius(
        self, X: Any, y: Any, norm: Literal["l2", "linf"] = "l2", **search: Any
    ) -> NDArray[np.float64]:
        """(n,) radius around each row of (n, d) `X` within which no perturbation changes the majority away from `y`.

        0 where the row is misclassified, inf where nothing changes the label. The other arguments and the method:
        :func:`scd.certificates.certify`, which also returns what proves the radii.

        Raises
        ------
        ValueError
            If the votes' probabilities are averaged, or `y` holds another class.
        """
        from scd.certificates import certify

        if self.voting != "hard":
            raise ValueError(
                f"The 'voting' parameter of {type(self).__name__} must be 'hard' for a certified radius. Got "
                f"{self.voting!r} instead; set_params(voting='hard') certifies the majority of the same votes."
            )
        return certify(self.votes_, *self._certified_inputs(X, y), norm, **search).radius
