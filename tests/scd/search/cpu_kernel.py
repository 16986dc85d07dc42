"""The compiled searches of one vote, called as the kernels ``reference`` and ``cuda`` are: for all votes of tensors."""

from __future__ import annotations

import numpy as np
import torch

from scd.search import Best
from scd.search.cpu import activations as activations_of_vote
from scd.search.cpu import project_vote
from scd.search.cpu.hidden import Candidates, search_ranks, search_thresholds
from scd.search.cpu.llvm import LANES, bit_of, unpack
from scd.search.cpu.logistic import search_logistic_vote
from scd.search.cpu.node import cross_entropy_vote, output_sums_vote, take_step_vote, zero_one_vote
from scd.search.cpu.output import NO_BINS, search_activations


def activations(projections, thresholds):
    words = [activations_of_vote(p.numpy(), t.numpy()) for p, t in zip(projections, thresholds, strict=True)]
    return torch.from_numpy(np.stack(words).view(np.int32))


def project(columns, weights, divisor=1.0):
    out = torch.empty(weights.shape[0], weights.shape[1], columns.shape[1])
    for v in range(len(out)):
        project_vote(columns.numpy(), weights[v].numpy(), np.float32(divisor), out[v].numpy())
    return out


def search(projections, columns, features, steps, effects, window=None, divisor=1.0):
    x = columns.numpy()
    maximum = np.float32(255 / divisor if x.dtype == np.uint8 else np.inf)
    found = []
    for v in range(len(projections)):
        rows = np.arange(x.shape[-1]) if window is None else np.flatnonzero(window.rows[v].numpy())
        step = (features[v].numpy(), steps[v].numpy())
        mine = Candidates(x[v] if x.ndim == 3 else x, np.float32(divisor), *step, rows.astype(np.uint32))
        p, e = projections[v].numpy()[rows], _shortest(effects[v])[rows]
        if window is None:
            found.append(search_thresholds(p, mine, e, maximum))
        else:
            found.append(search_ranks(p, mine, e, window.current[v].numpy()[()], window.radius))
    return _best(found)


def search_output(sums, active, features, steps, effects, window=None):
    found = []
    for v in range(len(sums)):
        words, one = active[v].numpy().view(np.uint32), slice(v, v + 1)
        best = (NO_BINS, 0, 0)
        if window is None:
            step = steps[v].numpy().astype(np.float32)
            best = search_activations(sums[v].numpy(), words, features[v].numpy(), step, _shortest(effects[v]))
        if best[0] == NO_BINS:
            columns = torch.empty(LANES * len(words), words.shape[1], dtype=torch.uint8)
            unpack(words, columns.numpy())
            window_of_vote = window and window._replace(rows=window.rows[one], current=window.current[one])
            each = search(sums[one].float(), columns, features[one], steps[one].float(), effects[one], window_of_vote)
            best = tuple(x[0] for x in each)
        found.append(best)
    return _best(found)


def search_logistic(sums, active, features, steps, labels, rows, integral=False):
    found = []
    for v in range(len(sums)):
        inside = np.concatenate([np.flatnonzero(rows[v].numpy() & (labels.numpy() == label)) for label in (0, 1)])
        negatives = int((labels.numpy()[inside] == 0).sum())
        words = np.ascontiguousarray(active[v].numpy().view(np.uint32)[:, inside])
        step = (features[v].numpy(), steps[v].numpy())
        found.append(search_logistic_vote(sums[v].numpy()[inside], words, *step, negatives))
    candidate, threshold, loss = zip(*found, strict=True)
    return (
        torch.tensor(candidate),
        torch.tensor(threshold, dtype=torch.float64),
        torch.tensor(loss, dtype=torch.float64),
    )


def hidden_effects(sums, active, nodes, unit, threshold, batch, negatives, weights):
    out = torch.empty(sums.shape, dtype=torch.int64)
    for v in range(len(sums)):
        rows = np.flatnonzero(batch[v].numpy())
        inside, found = int((rows < negatives).sum()), np.empty(len(rows), dtype=np.int64)
        word, bit = _word(active, v, nodes)[rows], bit_of(int(nodes[v]))
        node = (sums[v].numpy()[rows], word, bit, float(unit[v]), float(threshold[v]))
        if weights is None:
            total = cross_entropy_vote(*node, inside, found)
        else:
            total = zero_one_vote(*node, inside, weights, found)
        out[v] = 0
        out[v][torch.from_numpy(rows)] = torch.from_numpy(found)
        assert total >= out[v].abs().sum()
    return out


def take_step(projections, active, sums, nodes, unit, columns, divisor, features, steps, norms, thresholds):
    norms = torch.ones(len(nodes)) if norms is None else norms
    for v, node in enumerate(nodes.tolist()):
        x, numbers = columns[features[v]].numpy(), (steps[v], norms[v], thresholds[v])
        step, norm, threshold = (number.numpy()[()] for number in numbers)
        take_step_vote(
            projections[v, node].numpy(), _word(active, v, nodes), bit_of(node), sums[v].numpy(), float(unit[v]), x,
            np.float32(divisor), step, norm, threshold,
        )  # fmt: skip


def output_sums(active, output):
    out = torch.empty(active.shape[0], active.shape[2], dtype=torch.float64)
    for v in range(len(out)):
        output_sums_vote(active[v].numpy().view(np.uint32), output[v].numpy(), out[v].numpy())
    return out


def _word(active, v, nodes):
    return active[v].numpy().view(np.uint32)[int(nodes[v]) // LANES]


def _shortest(effects):
    narrow = effects.long().abs().sum() < 2**31
    return effects.numpy().astype(np.int32 if narrow else np.int64, copy=False)


def _best(found):
    candidate, threshold, gain = zip(*found, strict=True)
    return Best(torch.tensor(candidate), torch.tensor(threshold, dtype=torch.float32), torch.tensor(gain))
