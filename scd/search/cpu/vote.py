"""Whole iterations of one vote, compiled.

Votes are independent. So a thread advances one vote at a time and waits for no other: with another program on one of
the cores, the threads on the others do the work. Nothing of an iteration is done in Python.

The arithmetic is that of :class:`scd.engine.descent.Descent`, operation by operation, so the bits of a network depend
neither on the number of threads nor on how many iterations are done at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scd.engine.parameters import GRID
from scd.engine.sampling import Sizes, draw_vote
from scd.numba_cache import njit
from scd.search.cpu.hidden import Candidates, search_ranks, search_thresholds
from scd.search.cpu.llvm import LANES, bit_of, unpack
from scd.search.cpu.logistic import search_logistic_vote
from scd.search.cpu.node import cross_entropy_vote, output_sums_vote, take_step_vote, zero_one_vote
from scd.search.cpu.output import NO_BINS, search_activations

_DRAW, _OUTPUT, _HIDDEN = 0, 1, 2  # stages of an iteration; _HIDDEN + k is the step on the k-th chosen node
_INT32 = 2**31


class Weights(NamedTuple):
    """The weights of one vote."""

    hidden: Any
    """(h, d) float32"""
    thresholds: Any
    """(h,) float32"""
    output: Any
    """(h,) float64, multiples of 1 / GRID"""
    output_threshold: Any
    """(1,) float64"""


class Saved(NamedTuple):
    """What rollback restores."""

    thresholds: Any
    """(h,) float32"""
    output: Any
    """(h,) float64"""
    output_threshold: Any
    """(1,) float64"""
    words: Any
    """(w, n) uint32"""
    hidden: Any
    """(k, d) float32, of the nodes that take a step"""
    projections: Any
    """(k, n) float32, of these nodes"""


class State(NamedTuple):
    """Everything that an iteration of one vote changes."""

    now: Weights
    best: Weights
    best_correct: Any
    """(2,) int64: correct rows of each class with the best weights."""
    changed: Any
    """(h,) bool: nodes changed since the best weights."""
    projections: Any
    """(h, n) float32"""
    words: Any
    """(w, n) uint32 activations, see :mod:`scd.search.cpu.llvm`."""
    sums: Any
    """(n,) float64"""
    generator: Any
    """(6,) uint64, see :func:`scd.engine.sampling.states_of`."""
    batch: Any
    """(n,) bool"""
    nodes: Any
    """(k,) int64: the hidden nodes that take a step."""
    features: Any
    """(k, F) int64"""
    saved: Saved
    at: Any
    """(2,) int64: number and stage of the present iteration. A negative number: the search before the first one, of
    output and thresholds only, with the batch and nodes that are given."""


class Batch(NamedTuple):
    """The m rows of a batch, those of label 0 first, and what the searches read of them."""

    rows: Any
    """(m,) uint32, ascending."""
    negatives: Any
    """Rows of label 0."""
    sums: Any
    """(m,) float64"""
    words: Any
    """(w, m) uint32"""
    projections: Any
    """(m,) float32, of one node."""
    effects: Any
    """(m,) int32 or int64"""


class Task(NamedTuple):
    """What all votes share."""

    columns: Any
    """(d, n) float32 or uint8"""
    divisor: Any
    maximum: Any
    """Features are between 0 and this; infinite: anywhere."""
    sizes: Sizes
    balanced: Any
    """Weights of a correct row of each class before iteration `combined_from`..."""
    combined: Any
    """...and from there on: see :class:`scd.engine.selection.SelectionScore`."""
    combined_from: Any
    step_hidden: Any
    """float32"""
    step_output: Any
    """float64, a multiple of 1 / GRID"""
    binary: Any
    renormalize: Any


@njit(nogil=True)
def advance(state, task, effects, zero_one, logistic, radius, rollback, run, until):
    """Do the iterations before number `until`.

    Parameters
    ----------
    state : State
    task : Task
    effects : (n,) int32 or int64
        Room for effects.
    zero_one, logistic : True or None
        The loss: one of them is True. Code for what is None is not compiled.
    radius : int or None
        Ranks around the present threshold that are searched; None: all.
    rollback : True or None
        Undo an iteration that does not improve the best score.
    run : int or None
        See :func:`scd.engine.sampling.draw_vote`.
    until : int

    Returns
    -------
    bool
        False if a sum of effects may not fit their type: go on with int64.
    """
    now, best, at = state.now, state.best, state.at
    batch = _room_for_batch(state, task, effects)
    if at[1] != _DRAW:
        _list_rows(state.batch, batch.rows)
    while at[0] < until:
        initial = at[0] < 0
        weights = task.combined if max(at[0], 0) >= task.combined_from else task.balanced
        if at[1] == _DRAW:
            if not initial:
                draw_vote(state.generator, task.sizes, run, state.batch, state.nodes, state.features)
                if rollback is not None:
                    _save(state, state.saved)
            _list_rows(state.batch, batch.rows)
            at[1] = _OUTPUT
        if at[1] == _OUTPUT:
            if not _step_output(state, task, batch, weights, zero_one, logistic, radius):
                return False
            at[1] = _HIDDEN
        while at[1] - _HIDDEN < len(state.nodes):
            if not _step_hidden(state, task, batch, weights, at[1] - _HIDDEN, zero_one, logistic, radius):
                return False
            at[1] += 1
        correct = _correct(state.sums, now.output_threshold[0], task.sizes.negatives)
        improved = _score(correct, weights) > _score((state.best_correct[0], state.best_correct[1]), weights)
        if improved or initial:
            for k in range(len(state.changed)):
                if state.changed[k]:
                    for j in range(now.hidden.shape[1]):
                        best.hidden[k, j] = now.hidden[k, j]
                    state.changed[k] = False
            for k in range(len(now.output)):
                best.thresholds[k], best.output[k] = now.thresholds[k], now.output[k]
            best.output_threshold[0] = now.output_threshold[0]
            state.best_correct[0], state.best_correct[1] = correct
        elif rollback is not None:
            _roll_back(state, state.saved)
        at[0] += 1
        at[1] = _DRAW
    return True


@njit(nogil=True, inline="always")
def _room_for_batch(state, task, effects):
    """A batch of as many rows as are drawn or, before the first iteration, all of them."""
    sizes, n = task.sizes, len(state.batch)
    out_0, out_1 = (0, 0) if state.at[0] < 0 else (sizes.left_out_0, sizes.left_out_1)
    m = n - out_0 - out_1
    words = np.empty((len(state.words), m), dtype=np.uint32)
    return Batch(
        np.empty(m, dtype=np.uint32), sizes.negatives - out_0, np.empty(m), words, np.empty(m, dtype=np.float32),
        effects[:m],
    )  # fmt: skip


@njit(nogil=True)
def _list_rows(batch, rows):
    """Fill `rows` with the positions of (n,) `batch` that are True."""
    i, k, last = np.uint64(0), np.uint64(0), np.uint64(len(batch))
    while k < np.uint64(len(rows)) and i < last:
        rows[k] = i
        k += np.uint64(batch[i])
        i += np.uint64(1)


@njit(nogil=True, inline="always")
def _gather(values, rows, out):
    for r in range(np.uint64(len(rows))):
        out[r] = values[rows[r]]


@njit(nogil=True, inline="always")
def _score(correct, weights):
    return correct[0] * weights[0] + correct[1] * weights[1]


@njit(nogil=True, inline="always")
def _correct(sums, threshold, negatives):
    """Correct rows of label 0 and of label 1."""
    wrong, right = 0, 0
    for i in range(np.uint64(negatives)):
        wrong += sums[i] > threshold
    for i in range(np.uint64(negatives), np.uint64(len(sums))):
        right += sums[i] > threshold
    return negatives - wrong, right


@njit(nogil=True, inline="always")
def _candidates(weights, chosen, step, binary, initial):
    """The unchanged weights first, then the `chosen` ones with both signs (binary: with the flip of their signs)."""
    each = 0 if initial else 1 if binary else 2
    features = np.zeros(1 + each * len(chosen), dtype=np.int64)
    steps = np.zeros(len(features), dtype=weights.dtype)
    features[0] = chosen[0]
    for c in range(1, len(features)):
        k = chosen[(c - 1) // each]
        features[c] = k
        steps[c] = -(weights[k] + weights[k]) if each == 1 else step if c % 2 else -step
    return features, steps


# ---------------------------------------------------------------------- the output node


@njit(nogil=True, inline="always")
def _step_output(state, task, batch, weights, zero_one, logistic, radius):
    """Search the output threshold and, but for the initial search, a step on an output weight; take what is found."""
    now, initial = state.now, state.at[0] < 0
    features, moves = _candidates(now.output, np.arange(len(now.output)), task.step_output, task.binary, initial)
    chosen, threshold = 0, np.nan
    _gather(state.sums, batch.rows, batch.sums)
    for block in range(len(state.words)):
        _gather(state.words[block], batch.rows, batch.words[block])
    if zero_one is not None:
        if not _output_effects(batch.negatives, weights, batch.effects):
            return False
        chosen, found, _ = _search_output(state, task, batch, features, moves, radius)
        threshold = np.float64(found)
    if logistic is not None:
        chosen, threshold, _ = search_logistic_vote(batch.sums, batch.words, features, moves, batch.negatives)
    node, move = features[chosen], moves[chosen]
    now.output[node] += move
    if threshold == threshold:  # not NaN
        now.output_threshold[0] = threshold
    if task.renormalize and not initial:
        norm = 0.0
        for k in range(len(now.output)):
            norm += now.output[k] * now.output[k]
        norm = np.sqrt(norm)
        for k in range(len(now.output)):
            now.output[k] = np.rint(now.output[k] / norm * GRID) / GRID
        now.output_threshold[0] = now.output_threshold[0] / norm
        output_sums_vote(state.words, now.output, state.sums)
    elif move != 0:
        word, bit = state.words[node // LANES], bit_of(node)
        for i in range(len(state.sums)):  # exact, as are sums over all nodes
            state.sums[i] += move if word[i] & bit else 0.0
    return True


@njit(nogil=True, inline="always")
def _output_effects(negatives, weights, effects):
    """See :func:`scd.engine.objective.zero_one_output_effects`; False if a sum of them may not fit their type."""
    for r in range(len(effects)):
        effects[r] = -weights[0] if r < negatives else weights[1]
    positives = len(effects) - negatives
    return effects.itemsize > 4 or float(negatives) * weights[0] + float(positives) * weights[1] < _INT32


@njit(nogil=True, inline="always")
def _search_output(state, task, batch, features, moves, radius):
    steps = moves.astype(np.float32)
    if radius is None or state.at[0] < 0:
        found = search_activations(batch.sums, batch.words, features, steps, batch.effects)
        if found[0] != NO_BINS:
            return found
    m = len(batch.sums)
    columns, rows = np.empty((LANES * len(batch.words), m), dtype=task.columns.dtype), np.empty(m, dtype=np.uint32)
    unpack(batch.words, columns)
    for r in range(m):
        rows[r] = r
        batch.projections[r] = batch.sums[r]
    candidates = Candidates(columns, np.float32(1), features, steps, rows)
    current = np.float32(state.now.output_threshold[0])
    return _search(batch, candidates, task.maximum, state, current, radius)


@njit(nogil=True, inline="always")
def _search(batch, candidates, maximum, state, current, radius):
    if radius is None:
        return search_thresholds(batch.projections, candidates, batch.effects, maximum)
    if state.at[0] < 0:
        return search_thresholds(batch.projections, candidates, batch.effects, maximum)
    return search_ranks(batch.projections, candidates, batch.effects, current, radius)


# ---------------------------------------------------------------------- a hidden node


@njit(nogil=True, inline="always")
def _step_hidden(state, task, batch, weights, k, zero_one, logistic, radius):
    """Search the threshold of a hidden node and, but for the initial search, a step on a weight; take what is found."""
    now, node = state.now, state.nodes[k]
    p, word, bit, unit = state.projections[node], state.words[node // LANES], bit_of(node), now.output[node]
    threshold, effects, total = now.output_threshold[0], batch.effects, 0.0
    rows, inside = batch.rows, batch.words[node // LANES]
    _gather(state.sums, rows, batch.sums)
    _gather(word, rows, inside)
    _gather(p, rows, batch.projections)
    if zero_one is not None:
        total = zero_one_vote(batch.sums, inside, bit, unit, threshold, batch.negatives, weights, effects)
    if logistic is not None:
        total = cross_entropy_vote(batch.sums, inside, bit, unit, threshold, batch.negatives, effects)
    if effects.itemsize == 4 and not total < _INT32:
        return False
    initial = state.at[0] < 0
    features, steps = _candidates(now.hidden[node], state.features[k], task.step_hidden, task.binary, initial)
    candidates = Candidates(task.columns, task.divisor, features, steps, rows)
    chosen, found, _ = _search(batch, candidates, task.maximum, state, now.thresholds[node], radius)
    feature, step = features[chosen], steps[chosen]
    found = now.thresholds[node] if found != found else found
    old, norm = now.hidden[node, feature], np.float32(1)
    now.hidden[node, feature] = old + step
    if task.renormalize:
        wide = np.float64(step)
        norm = np.float32(np.sqrt(max(1.0 + 2.0 * wide * np.float64(old) + wide * wide, 1e-12)))
        for j in range(len(now.hidden[node])):
            now.hidden[node, j] /= norm
        found = found / norm
    now.thresholds[node] = found
    state.changed[node] = True
    take_step_vote(p, word, bit, state.sums, unit, task.columns[feature], task.divisor, step, norm, found)
    return True


# ---------------------------------------------------------------------- rollback (step 4 of Algorithm 1)


@njit(nogil=True)
def _save(state, saved):
    """Store what an iteration may change."""
    _copy_weights(state.now, saved)
    _copy_rows(state.words, saved.words)
    for k in range(len(state.nodes)):
        _copy(state.now.hidden[state.nodes[k]], saved.hidden[k])
        _copy(state.projections[state.nodes[k]], saved.projections[k])


@njit(nogil=True)
def _roll_back(state, saved):
    _copy_weights(saved, state.now)
    _copy_rows(saved.words, state.words)
    for k in range(len(state.nodes)):
        _copy(saved.hidden[k], state.now.hidden[state.nodes[k]])
        _copy(saved.projections[k], state.projections[state.nodes[k]])
    output_sums_vote(state.words, state.now.output, state.sums)


@njit(nogil=True)
def _copy_weights(source, target):
    """Of all nodes but the hidden weights."""
    _copy(source.thresholds, target.thresholds)
    _copy(source.output, target.output)
    _copy(source.output_threshold, target.output_threshold)


@njit(nogil=True)
def _copy_rows(source, target):
    for k in range(len(source)):
        _copy(source[k], target[k])


@njit(nogil=True)
def _copy(source, target):
    """Element by element: Numba's slices compile for seconds, for the message of an error that cannot happen here."""
    for i in range(len(target)):
        target[i] = source[i]
