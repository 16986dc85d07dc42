"""The surrogate attack: what its surrogate is trained on, how its gradient is weighted, how its queries count."""

import re

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import SmoothedBoundary, Surrogate
from attacks.engine.validation import Task
from attacks.surrogate import Guide, combined
from scd import SCDClassifier
from tests.attacks.half_space import HalfSpace

FEW = {"start": "rays", "radius": (1.0, 0.3), "target": 0.3, "step": 0.2, "memory": 1.0}
"""conf/attack/smoothed_few.yaml"""
SMALL = {"surrogate": "scd01", "votes": 2, "iterations": 5, "max_iter": 3}


def pool_around(model, rows, seed=0):
    """Samples on both sides of a half-space: noise in all directions, and more of it along the normal."""
    rng = np.random.default_rng(seed)
    along = model.distance + rng.standard_normal((rows, 1))
    spread = 0.1 * rng.standard_normal((rows, len(model.normal)))
    return np.clip(model.x + along * model.normal + spread, 0, 1).astype(np.float32)


def unit(rows):
    rows = np.atleast_2d(np.asarray(rows, dtype=np.float32))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("starts_along_it", "fraction"), [(True, 0.5), (False, 0.8)])
def test_with_few_queries_a_surrogate_that_agrees_makes_it_closer(starts_along_it, fraction, monkeypatch):
    if not starts_along_it:
        monkeypatch.setattr("attacks.surrogate.line_starts", lambda *given: None)
    guided, alone = [], []
    for seed in range(2):
        model = HalfSpace(1000, 0.3, seed)
        attack = Surrogate(surrogate="logistic", samples=100, query_budget=1000)
        guided.append(attack(model, model.x, [0], pool=pool_around(model, 400)).l2[0])
        alone.append(SmoothedBoundary(query_budget=1000, **FEW)(model, model.x, [0]).l2[0])
    assert np.mean(guided) - 0.3 < fraction * (np.mean(alone) - 0.3)


@pytest.mark.parametrize("kind", ["logistic", "scd01", pytest.param("scdce", marks=pytest.mark.thorough)])
def test_the_gradient_of_every_surrogate_leads_across_the_boundary(kind):
    """A random direction has a cosine of 0.1 to the normal."""
    model = HalfSpace(100, 0.3, 1)
    pool, attack = pool_around(model, 300), Surrogate(surrogate=kind, iterations=100)
    task = Task(model.x, np.zeros(1, np.int64), np.arange(1), 0.0, 1.0)
    bits = model(pool).astype(bool)
    for flipped in (False, True):
        guide = Guide(attack._train(task, pool, bits ^ flipped), flipped, task)
        assert guide(model.x[0]) @ model.normal > 0.4


def test_a_surrogate_that_does_not_agree_costs_hardly_more_than_its_queries():
    """The labels of the pool depend on feature 0 alone, those around the original on the normal."""
    model = HalfSpace(300, 0.3, 1)
    model.normal[0] = 0.0
    pool = np.random.default_rng(0).uniform(0, 1, (200, 300)).astype(np.float32)

    def labels(rows):
        far = ((rows - model.x) ** 2).sum(axis=1) > 20
        return np.where(far, rows[:, 0] > 0.5, model(rows))

    assert (((pool - model.x) ** 2).sum(axis=1) > 20).all()
    misled = Surrogate(surrogate="logistic", samples=200, query_budget=3200)(labels, model.x, [0], pool=pool)
    alone = SmoothedBoundary(query_budget=3000, **FEW)(labels, model.x, [0])
    assert misled.l2[0] - 0.3 < 1.25 * (alone.l2[0] - 0.3)


def test_the_combination_is_the_projection_onto_both_directions():
    rng = np.random.default_rng(0)
    one, other = unit(rng.standard_normal((20, 5))), unit(rng.standard_normal((20, 5)))
    wanted = 0.3 * one + 0.8 * other
    agreement = np.stack([(wanted * one).sum(1), (wanted * other).sum(1)], axis=1)
    np.testing.assert_allclose(unit(combined(one, other, 7 * agreement)), unit(wanted), atol=1e-5)


@pytest.mark.parametrize("agreement", [[[0.0, 0.4]], [[-0.3, 0.4]], [[0.2, 0.4]], [[-0.1, -0.1]]])
def test_a_surrogate_that_adds_nothing_gets_no_weight(agreement):
    """At an angle of 60 degrees an agreement of half the other's is what the other explains."""
    prior, average = unit([0.5, np.sqrt(0.75)]), unit([1.0, 0.0])
    np.testing.assert_allclose(unit(combined(prior, average, np.array(agreement))), average, atol=1e-3)


@pytest.mark.parametrize("flipped", [False, True])
def test_the_gradient_leads_to_the_adversarial_side(flipped):
    weights = np.array([3.0, -4.0], dtype=np.float32)
    task = Task(np.zeros((1, 2), np.float32), np.zeros(1, np.int64), np.arange(1), 0.0, 1.0)
    guide = Guide(lambda x, beta, gamma: x @ x.new_tensor(weights), flipped, task)
    np.testing.assert_allclose(guide(task.x[0]), (-1 if flipped else 1) * weights / 5, rtol=1e-6)


@pytest.mark.parametrize("restarts", [1, 3])
def test_the_samples_count_for_each_point_and_are_at_most_a_fifth_of_the_budget(restarts):
    model = HalfSpace(12, 0.2, 1)
    pool, x = pool_around(model, 500), np.concatenate([model.x, model.x])
    seen = []

    def labels(rows):
        seen.append(rows.copy())
        return model(rows)

    settings = {"surrogate": "logistic", "restarts": restarts, "query_budget": 1001}
    result = Surrogate(max_iter=0, **settings)(labels, x, [0, 0], pool=pool)
    rows = np.concatenate(seen)
    of_pool = (rows[:, None] == pool[None]).all(axis=2).sum(axis=0)
    assert of_pool.sum() == 2 * 200  # a fifth of what the own label leaves
    assert sorted(set(of_pool)) == [0, 2]
    assert (result.queries >= 200).all()
    assert len(rows) == result.queries.sum() + 2  # the confirmations
    whole = Surrogate(**settings)(model, x[:1], [0], pool=pool)
    runs = [whole.trace["queries"][whole.trace["restart"] == r] for r in range(restarts)]
    assert min(run[0] for run in runs) >= 200 // restarts
    assert 0.9 * 1001 < whole.queries[0] <= 1001


def test_points_with_the_same_labels_of_the_samples_share_one_training(monkeypatch):
    fits = []
    original = SCDClassifier.fit

    def fit(self, rows, bits):
        fits.append(bits)
        return original(self, rows, bits)

    monkeypatch.setattr(SCDClassifier, "fit", fit)
    model = HalfSpace(12, 0.2, 1)
    beyond = (model.x + 0.4 * model.normal).astype(np.float32)
    x = np.concatenate([model.x, beyond, model.x])
    result = Surrogate(samples=30, **SMALL)(model, x, model(x), pool=pool_around(model, 50))
    assert result.success.all()
    assert len(fits) == 1


def test_resumed_with_a_pool_it_trains_the_same_surrogate_again(tmp_path):
    model = HalfSpace(40, 0.2, seed=1)
    attack, pool = Surrogate(samples=30, query_budget=400, **{**SMALL, "max_iter": 6}), pool_around(model, 50)
    for after in (3, 40, 160, 175):  # the first snapshot is after about 150 calls

        def run(labels, x, y, **more):
            return attack(labels, x, y, pool=pool, **more)

        laws.resumes(run, tmp_path / f"{after}.npz", after)


@pytest.mark.parametrize("wanted", [1, 2])
def test_a_class_to_reach_of_several(wanted):
    def labels(rows):
        return np.digitize(rows[:, 0].astype(np.float64), [0.4, 0.8])

    rng = np.random.default_rng(0)
    x, pool = np.full((2, 6), 0.2, np.float32), rng.uniform(0, 1, (300, 6)).astype(np.float32)
    attack = Surrogate(surrogate="logistic", samples=100, query_budget=1000)
    result = attack(labels, x, [0, 0], pool=pool, target=wanted)
    assert labels(result.adversarials).tolist() == [wanted] * 2
    np.testing.assert_allclose(result.l2, 0.4 * wanted - 0.2, rtol=0.05)


def test_a_pool_of_one_class_trains_nothing_and_the_attack_goes_on(monkeypatch):
    monkeypatch.setattr(Surrogate, "_train", lambda *given: 1 / 0)
    model = HalfSpace(20, 0.2, seed=4)
    pool = np.repeat(model.x, 30, axis=0)
    result = Surrogate(query_budget=1000)(model, model.x, [0], pool=pool)
    assert 0.2 <= result.l2[0] <= 0.21


def test_where_no_ray_is_adversarial_a_run_starts_at_the_nearest_adversarial_sample():
    """Adversarial is a small ball, which neither the corners of the box nor a line along a gradient lead to."""
    centre = np.array([0.8, 0.35, 0.6, 0.5])

    def in_ball(rows):
        return (((rows - centre) ** 2).sum(axis=1) < 0.01).astype(int)

    pool = np.concatenate([np.full((9, 4), 0.1), [[0.8, 0.35, 0.6, 0.57]], [[0.8, 0.35, 0.6, 0.53]]])
    x = np.full((1, 4), 0.5, np.float32)
    attack = Surrogate(max_iter=0, init_size=1, query_budget=None)
    result = attack(in_ball, x, [0], pool=pool.astype(np.float32))
    assert result.success[0]
    assert result.l2[0] < 0.36


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("surrogate", "mlp", "one of 'scd01', 'scdce', 'logistic'"),
        ("samples", 0, "an int >= 1"),
        ("votes", 0, "an int >= 1"),
        ("iterations", 0, "an int >= 1"),
        ("norm", "l1", "one of 'l2', 'linf'"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of Surrogate must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Surrogate(**{name: value})
