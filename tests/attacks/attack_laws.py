"""Laws of every decision-based attack, as checks of one attack; and the models that they are checked on."""

import numpy as np
import pytest

from tests.attacks.half_space import HalfSpace, same_result


def outside_ball(rows):
    """Label 1 outside a ball around the middle of the unit box, of squared radius 0.3."""
    return (((rows.astype(np.float64) - 0.5) ** 2).sum(axis=1) > 0.3).astype(np.int64)


def points(n, d=12, seed=0):
    """Points near the middle of the unit box."""
    return np.random.default_rng(seed).uniform(0.45, 0.55, (n, d)).astype(np.float32)


class Counting:
    """A model that counts its calls and inputs; every call after the first `after` raises KeyboardInterrupt."""

    def __init__(self, model, after=10**9):
        self.model, self.after, self.calls, self.rows = model, after, 0, 0

    def __call__(self, rows):
        self.calls += 1
        if self.calls > self.after:
            raise KeyboardInterrupt
        self.rows += len(rows)
        return self.model(rows)


def stays_in_the_box(attack, clip):
    low, high = clip
    seen = []

    def labels(rows):
        assert rows.dtype == np.float32
        assert rows.ndim == 2
        assert np.isfinite(rows).all()
        seen.append((float(rows.min()), float(rows.max())))
        return outside_ball(rows)

    result = attack(labels, points(3), [0, 0, 0], clip=clip)
    assert result.success.all()
    assert min(s[0] for s in seen) >= low
    assert max(s[1] for s in seen) <= high
    assert float(result.adversarials.min()) >= low
    assert float(result.adversarials.max()) <= high


def stays_within_the_bounds_of_each_feature(attack):
    """Feature c is in units of 10**c; feature 0 cannot move."""
    unit = 10.0 ** np.arange(12, dtype=np.float64) / 1e4
    low, high = -unit, 2 * unit
    x = (points(3) * unit).astype(np.float32)
    low[0] = high[0] = x[:, 0] = np.float32(0.5 * unit[0])

    def labels(rows):
        scaled = rows / unit
        assert (rows >= low.astype(np.float32)).all()
        assert (rows <= high.astype(np.float32)).all()
        assert (rows[:, 0] == x[0, 0]).all()
        return (((scaled - 0.5) ** 2).sum(axis=1) > 0.3).astype(np.int64)

    result = attack(labels, x, [0, 0, 0], clip=(low, high))
    assert result.success.all()
    assert labels(result.adversarials).tolist() == [1, 1, 1]


def equal_bounds_are_one_pair(attack):
    one = attack(outside_ball, points(2), [0, 0], clip=(-0.5, 1))
    each = attack(outside_ball, points(2), [0, 0], clip=(np.full(12, -0.5), 1))
    np.testing.assert_allclose(each.l2, one.l2, rtol=1e-5)
    np.testing.assert_array_equal(each.queries, one.queries)


def fails_on_a_constant_model(attack, queries):
    result = attack(lambda rows: np.zeros(len(rows), int), points(2), [0, 0])
    assert not result.success.any()
    assert result.reason.tolist() == ["no adversarial start"] * 2
    assert np.isnan(result.l2).all()
    assert np.isnan(result.linf).all()
    assert np.isnan(result.adversarials).all()
    assert result.restart.tolist() == [-1, -1]
    assert result.queries.tolist() == [queries] * 2


def leaves_a_misclassified_example_alone(attack):
    result = attack(outside_ball, points(2), [0, 1])
    assert result.success.tolist() == [True, False]
    assert result.reason.tolist() == ["", "already misclassified"]
    assert np.isnan(result.l2[1])
    assert result.queries[1] == 1


def records_what_it_returns(attack, norm):
    x = points(3)
    result = attack(outside_ball, x, [0, 0, 0])
    assert outside_ball(result.adversarials).tolist() == [1, 1, 1]
    difference = result.adversarials.astype(np.float64) - x.astype(np.float64)
    np.testing.assert_allclose(result.l2, np.linalg.norm(difference, axis=1), rtol=1e-12)
    np.testing.assert_allclose(result.linf, np.abs(difference).max(axis=1), rtol=1e-12)
    for e in range(3):
        rows = result.trace["index"] == e
        last = [result.trace[norm][rows & (result.trace["restart"] == r)] for r in set(result.trace["restart"])]
        assert getattr(result, norm)[e] == min(run[-1] for run in last)
        assert all((np.diff(run) <= 0).all() for run in last)


def never_exceeds_its_budget(attack, **call):
    labels = Counting(outside_ball)
    result = attack(labels, points(3), [0, 0, 1], **call)
    assert result.queries.max() <= attack.query_budget
    assert labels.rows == result.queries.sum() + result.success.sum()  # each adversarial is confirmed at the end
    assert set(result.reason[~result.success]) <= {"query budget spent", "already misclassified"}
    for e in np.flatnonzero(result.success):
        assert outside_ball(result.adversarials[e : e + 1])[0] != 0
    if attack.query_budget == 1:
        assert result.reason.tolist() == ["query budget spent", "query budget spent", "already misclassified"]
    if attack.query_budget >= 100:
        assert result.success[:2].all()


def does_not_depend_on_company(attack, small):
    """`small` is the same attack with a memory budget of a few inputs."""
    x, y = points(5), np.zeros(5, int)
    whole = attack(outside_ball, x, y)
    part = small(outside_ball, x[[3, 1]], y[:2], index=[3, 1])
    for name in ("adversarials", "l2", "queries", "restart"):
        assert getattr(part, name).tobytes() == getattr(whole, name)[[3, 1]].tobytes()


def resumes(attack, path, after):
    model = HalfSpace(40, 0.2, seed=1)
    whole = attack(model, model.x, [0])
    first, rest = Counting(model, after), Counting(model)
    with pytest.raises(KeyboardInterrupt):
        attack(first, model.x, [0], state=path)
    resumed = attack(rest, model.x, [0], state=path)
    assert same_result(whole, resumed)
    looks = 8 * (1 + (after > 0))  # each call looks whether it is the model of the state
    assert first.rows + rest.rows == whole.queries.sum() + 1 + looks  # no query is repeated; one confirms
    finished = Counting(model, 1)
    assert same_result(whole, attack(finished, model.x, [0], state=path))
    assert finished.rows == 8


def continues_with_the_next_example(attack, labels, x, y, path, monkeypatch, after, **more):
    """An attack that searches one example after the other, killed after `after` calls, repeats at most one of them."""
    searched, points = [], type(attack)._points

    def counted(self, *args):
        searched.append(next(int(a) for a in args if isinstance(a, np.integer)))
        return points(self, *args)

    monkeypatch.setattr(type(attack), "_points", counted)
    whole = attack(labels, x, y, **more)
    once = searched.copy()
    searched.clear()
    with pytest.raises(KeyboardInterrupt):
        attack(Counting(labels, after), x, y, state=path, **more)
    assert 0 < len(searched) < len(once)
    assert same_result(whole, attack(labels, x, y, state=path, **more))
    assert sorted(set(searched)) == once
    assert len(searched) <= len(once) + 1
    searched.clear()
    assert same_result(whole, attack(labels, x, y, state=path, **more))
    assert not searched
