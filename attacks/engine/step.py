"""The step of HopSkipJump: from the boundary along the estimated direction, halved until it stays adversarial."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.run_state import Selection

if TYPE_CHECKING:
    from attacks.engine.cuda import Ray

_HALVINGS = 40  # after these the step is below the rounding of float32: the run stays where it is


def step(search: BoundarySearch, who: Selection, direction: NDArray[np.float32], length: NDArray[np.float64]) -> None:
    """Move the points of the runs `who`, all together.

    Parameters
    ----------
    search : BoundarySearch
    who : ndarray of int64, shape (k,)
    direction : ndarray of float32, shape (k, d)
    length : ndarray of float64, shape (k,)
        First length to try, in feature units; every refused try halves it.
    """
    length, pending, ray = length.copy(), np.arange(len(who)), _ray(search, who, direction)
    for _ in range(_HALVINGS):
        pending = pending[search.left(who[pending]) > 0]
        if not len(pending):
            return
        stepped = _Stepped(search, who[pending], direction[pending], length[pending])
        if ray is None:
            adversarial = search.ask(who[pending], stepped)
        else:
            adversarial = search.ask_on_card(who[pending], ray.rows(pending, length[pending]))
        stepped.land(np.flatnonzero(adversarial))
        pending = pending[~adversarial]
        length[pending] /= 2.0


def _ray(search: BoundarySearch, who: Selection, direction: NDArray[np.float32]) -> "Ray | None":
    card = search.few_enough(who)
    if card is None:
        return None
    from attacks.engine.cuda import Ray

    return Ray(card, card.put(search.runs.point[who]), card.put(direction))


class _Stepped:
    """The stepped points of some runs, made block by block when they are needed."""

    def __init__(
        self, search: BoundarySearch, who: Selection, direction: NDArray[np.float32], length: NDArray[np.float64]
    ) -> None:
        self.search, self.who, self.direction, self.length = search, who, direction, length

    def __call__(self, out: NDArray[np.float32], begin: int, end: int) -> None:
        self._make(out, np.arange(begin, end))

    def land(self, chosen: Selection) -> None:
        """Make the stepped points of the runs at positions `chosen` their points."""
        landed = np.empty((len(chosen), self.direction.shape[1]), dtype=np.float32)
        self._make(landed, chosen)
        self.search.runs.point[self.who[chosen]] = landed

    def _make(self, out: NDArray[np.float32], chosen: Selection) -> None:
        task, points = self.search.task, self.search.runs.point
        rows, along, length = self.who[chosen], self.direction[chosen], self.length[chosen]
        numba_kernels.in_threads(
            lambda begin, end: numba_kernels.step_rows(
                points, rows, along, length, task.low, task.high, out, begin, end
            ),
            len(chosen),
            out.size,
        )
