"""The searches in plain torch: sort every candidate, try every cut. Slow; the specification of the other kernels."""

from __future__ import annotations

import torch

from scd.engine.objective import cross_entropy_effects, zero_one_effects, zero_one_output_effects
from scd.engine.parameters import MIN_MARGIN
from scd.search import Best, Window

_CANDIDATE_BYTES = 64  # of working memory a (row, candidate) pair takes below
_CHUNK_BYTES = 256 << 20


def project(columns: torch.Tensor, weights: torch.Tensor, divisor: float = 1.0) -> torch.Tensor:
    """Projections of all rows on all nodes.

    Parameters
    ----------
    columns : (d, n) float32 or uint8
    weights : (V, h, d) float32
    divisor : float
        The features are ``columns / divisor``.

    Returns
    -------
    (V, h, n) float32
    """
    x = columns.float() / divisor
    return torch.stack([w @ x for w in weights])  # the same shape for every vote, so the same rounding


def search(
    projections: torch.Tensor,
    columns: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    effects: torch.Tensor,
    window: Window | None = None,
    divisor: float = 1.0,
) -> Best:
    """See :class:`scd.search.Search`."""
    found = [
        _search_vote(
            projections[v],
            columns if columns.ndim == 2 else columns[v],
            features[v],
            steps[v],
            effects[v],
            None if window is None else (window.rows[v], window.current[v], window.radius),
            divisor,
        )
        for v in range(len(projections))
    ]
    candidate, threshold, gain = (torch.stack(x) for x in zip(*found, strict=True))
    return Best(candidate, threshold, gain)


def _search_vote(p, columns, features, steps, effects, window, divisor):
    rows = effects != 0 if window is None else window[0]
    p, e = p[rows], effects[rows]
    zero = torch.zeros((), dtype=torch.int64, device=p.device)
    if not bool((e != 0).any()):
        return zero, torch.full((), torch.nan, dtype=p.dtype, device=p.device), zero
    best = None
    chunk = max(1, _CHUNK_BYTES // (_CANDIDATE_BYTES * len(p)))
    for start in range(0, len(features), chunk):
        part = slice(start, start + chunk)
        q = p + steps[part, None] * (columns[features[part]][:, rows].to(p.dtype) / divisor)  # (C, m)
        q, order = q.sort(dim=1, stable=True)
        gains = _gains_of_cuts(q, e[order], window)
        gain, cut = gains.max(dim=1)
        # the lowest cut among equals: max() does not say which it returns
        cut = (gains == gain[:, None]).to(torch.uint8).argmax(dim=1)
        c = int((gain == gain.max()).to(torch.uint8).argmax())
        if best is None or gain[c] > best[2]:
            best = (zero + start + c, threshold_at(q[c], int(cut[c])), gain[c])
    return best


def _gains_of_cuts(q: torch.Tensor, e: torch.Tensor, window) -> torch.Tensor:
    """(C, m + 1): the gain with the sorted rows ``cut`` and above on; the int64 minimum where that is not allowed."""
    m = q.shape[1]
    gains = torch.zeros(len(q), m + 1, dtype=torch.int64, device=q.device)
    gains[:, :m] = e.flip(1).cumsum(1).flip(1)
    allowed = torch.ones_like(gains, dtype=torch.bool)
    allowed[:, 1:m] = q[:, :-1] < q[:, 1:]
    if window is not None:
        _, current, radius = window
        rank = (q <= current).sum(1, keepdim=True)  # the cut that the current threshold makes
        cuts = torch.arange(m + 1, device=q.device)
        allowed &= (cuts - rank).abs() <= radius
    return gains.masked_fill(~allowed, torch.iinfo(torch.int64).min)


def threshold_at(q: torch.Tensor, cut: int) -> torch.Tensor:
    """The threshold that turns on exactly the rows `cut` and above of the ascending float32 projections `q`."""
    m = len(q)
    if 0 < cut < m:
        below, above = q[cut - 1], q[cut]
        middle = below + (above - below) / 2
        return torch.where(middle < above, middle, below)
    size = torch.maximum(q[0].abs(), q[-1].abs())
    size = torch.where(size > 0, size, torch.ones_like(size))
    margin = torch.maximum((q[-1] - q[0]) / (2 * m), size * MIN_MARGIN)
    return q[0] - margin if cut == 0 else q[-1] + margin


def activations(projections: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Which hidden nodes are on: what the functions below take as `active`.

    Parameters
    ----------
    projections : (V, h, n) float32
    thresholds : (V, h) float32

    Returns
    -------
    (V, h, n) uint8, 1 where the projection is above the threshold; another kernel may return another form.
    """
    return (projections > thresholds[:, :, None]).to(torch.uint8)


def search_output(
    sums: torch.Tensor,
    active: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    effects: torch.Tensor,
    window: Window | None = None,
) -> Best:
    """:class:`scd.search.Search` of the output node, whose inputs are the hidden activations.

    Parameters
    ----------
    sums : (V, n) float64
        The output node's projections. float32 must represent them exactly, as it does multiples of ``2**-20`` below 16.
    active : (V, h, n) uint8
    features, steps : (V, C)
    effects, window
        As in :class:`scd.search.Search`.
    """
    return search(sums.float(), active, features, steps.float(), effects, window)


def output_sums(active: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Sums ``a . w`` at the output node, added in node order.

    Parameters
    ----------
    active : (V, h, n) uint8
    output : (V, h) float64

    Returns
    -------
    (V, n) float64
    """
    sums = torch.zeros(len(active), active.shape[2], dtype=torch.float64, device=active.device)
    for k in range(active.shape[1]):
        sums += output[:, k, None] * active[:, k]
    return sums


output_effects = zero_one_output_effects


def hidden_effects(
    sums: torch.Tensor,
    active: torch.Tensor,
    nodes: torch.Tensor,
    unit: torch.Tensor,
    threshold: torch.Tensor,
    batch: torch.Tensor,
    negatives: int,
    weights: tuple[int, int] | None,
) -> torch.Tensor:
    """The effect of turning on one hidden node per vote, row by row.

    Parameters
    ----------
    sums : (V, n) float64
    active : (V, h, n) uint8
    nodes : (V,) int64
    unit : (V,) float64
        The nodes' output weights.
    threshold : (V,) float64
        Of the output nodes.
    batch : (V, n) bool
    negatives : int
        Rows of label 0, which come first.
    weights : (int, int) or None
        Of a correct row of each label; None for cross-entropy.

    Returns
    -------
    (V, n) int64
    """
    votes = torch.arange(len(nodes), device=nodes.device)
    off = sums - unit[:, None] * active[votes, nodes] - threshold[:, None]
    if weights is None:
        return cross_entropy_effects(off, off + unit[:, None], batch, negatives)
    return zero_one_effects(off, off + unit[:, None], batch, negatives, weights)


def take_step(
    projections: torch.Tensor,
    active: torch.Tensor,
    sums: torch.Tensor,
    nodes: torch.Tensor,
    unit: torch.Tensor,
    columns: torch.Tensor,
    divisor: float,
    features: torch.Tensor,
    steps: torch.Tensor,
    norms: torch.Tensor | None,
    thresholds: torch.Tensor,
) -> None:
    """Take a step on one feature of one hidden node per vote; update `projections`, `active` and `sums` in place.

    Parameters
    ----------
    projections : (V, h, n) float32
    active : (V, h, n) uint8
    sums : (V, n) float64
        Changes by multiples of the output weights, so exactly.
    nodes : (V,) int64
    unit : (V,) float64
        The nodes' output weights.
    columns : (d, n) float32 or uint8
    divisor : float
        The features are ``columns / divisor``.
    features : (V,) int64
    steps : (V,) float32
    norms : (V,) float32 or None
        Divisors of the projections after the step.
    thresholds : (V,) float32
        The nodes' new thresholds.
    """
    votes = torch.arange(len(nodes), device=nodes.device)
    p = projections[votes, nodes] + steps[:, None] * (columns[features].float() / divisor)
    if norms is not None:
        p /= norms[:, None]
    on = (p > thresholds[:, None]).to(torch.uint8)
    sums += unit[:, None] * (on.double() - active[votes, nodes].double())
    projections[votes, nodes], active[votes, nodes] = p, on


def search_logistic(
    sums: torch.Tensor,
    inputs: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    labels: torch.Tensor,
    rows: torch.Tensor,
    integral: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The output node's search under cross-entropy: the best step with its best threshold.

    The loss ``sum(softplus(-(s - T)) for label 1, softplus(s - T) for label 0)`` is convex in the threshold ``T``: a
    bisection on its derivative finds the optimum of each candidate. The winner's threshold is then moved to the
    better of the two midpoints of neighbouring distinct sums around it.

    Parameters
    ----------
    sums : (V, n) float64
    inputs : (V, h, n) uint8
        Hidden activations.
    features, steps : (V, C)
    labels : (n,) int64, 0 or 1
    rows : (V, n) bool
        The batch.
    integral : bool
        Whether all sums, also after any step, are integers from -h to h, as with binary weights; a kernel may count
        them then.

    Returns
    -------
    candidate (V,) int64, threshold (V,) float64, loss (V,) float64 (of the winner, before the move to a midpoint).
    """
    found = []
    for v in range(len(sums)):
        batch = rows[v]
        q = sums[v, batch] + steps[v, :, None].double() * inputs[v][features[v]][:, batch].double()  # (C, m)
        y = labels[batch].double()
        reach = torch.log(torch.tensor(float(len(y)))) + 1
        low, high = q.amin(1) - reach, q.amax(1) + reach
        for _ in range(60):
            middle = (low + high) / 2
            too_high = torch.sigmoid(q - middle[:, None]).sum(1) < y.sum()
            high, low = torch.where(too_high, middle, high), torch.where(too_high, low, middle)
        loss = logistic_loss(q, (low + high)[:, None] / 2, y)
        c = int(loss.argmin())
        found.append((torch.tensor(c, device=q.device), _to_midpoint(q[c], (low[c] + high[c]) / 2, y), loss[c]))
    candidate, threshold, loss = (torch.stack(x) for x in zip(*found, strict=True))
    return candidate, threshold, loss


def logistic_loss(q: torch.Tensor, threshold: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sum over the last axis of the cross-entropy of ``sigmoid(q - threshold)`` against labels `y` in {0, 1}."""
    z = q - threshold
    return (torch.nn.functional.softplus(z) - y * z).sum(-1)


def _to_midpoint(q: torch.Tensor, threshold: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    values = q.unique()
    if len(values) == 1:
        return threshold
    middles = (values[:-1] + values[1:]) / 2
    after = int(torch.searchsorted(middles, threshold))
    around = middles[max(0, after - 1) : after + 1]
    best: torch.Tensor = around[logistic_loss(q[None], around[:, None], y).argmin()]
    return best
