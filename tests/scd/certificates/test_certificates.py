"""Certified radii: never above the exact distance, exact in the corners, and refused where the model is another."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane import exact_l2, fitted_votes, labels, random_votes

from scd import SCDClassifier
from scd.certificates import Proof, certify, lower_bounds, verify_certificate
from scd.certificates.covers import cover_price
from scd.certificates.proof import spectral_margin
from scd.certificates.units import SignUnits

QUICK = {"steps": 10, "n_jobs": 1}
ensembles = st.tuples(st.integers(0, 10**9), st.integers(1, 7), st.integers(1, 4))


def vote(hidden, thresholds, output, limit):
    return {
        "hidden": np.array(hidden, dtype=np.float32),
        "thresholds": np.array(thresholds, dtype=np.float32),
        "output": np.array(output, dtype=np.float64),
        "output_threshold": np.float64(limit),
    }


def stump(normal, threshold):
    """Label 1 where ``x . normal > threshold``."""
    return vote([normal], [threshold], [1.0], 0.5)


def radius(votes, x, y, norm="l2", **search):
    return certify(votes, np.array([x], dtype=np.float32), np.array([y]), norm, **(search or QUICK)).radius[0]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(ensembles)
def test_lower_bounds_are_never_above_the_exact_distance(ensemble):
    seed, count, units = ensemble
    votes = random_votes(seed, count, units)
    X = np.random.default_rng(seed).uniform(0, 1, (2, 2)).astype(np.float32)
    y = labels(votes, X.astype(np.float64))
    exact = np.array([exact_l2(votes, x.astype(np.float64), label) for x, label in zip(X, y, strict=True)])
    certificates = certify(votes, X, y, steps=5, n_jobs=1)
    assert (certificates.radius <= exact).all()
    assert (np.isinf(exact) >= np.isinf(certificates.radius)).all()
    assert verify_certificate(votes, X, y, certificates).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(ensembles, st.integers(1, 12))
def test_no_point_within_the_radius_has_another_label_in_the_forward_pass(ensemble, features):
    seed, count, units = ensemble
    votes = random_votes(seed, count, units, features)
    model = SCDClassifier(n_votes=count).use_votes(votes, n_features=features)
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 1, (2, features)).astype(np.float32)
    y = model.predict(X)
    for norm, order in (("l2", 2), ("linf", np.inf)):
        r = np.minimum(model.certified_radius(X, y, norm=norm, **QUICK), 1e3)
        move = rng.standard_normal((2, 200, features))
        if norm == "linf":
            move = np.sign(move)
        move *= (rng.uniform(0.5, 1, (2, 200)) * r[:, None] / np.linalg.norm(move, ord=order, axis=2))[..., None]
        near = (X[:, None].astype(np.float64) + move).astype(np.float32)
        inside = np.linalg.norm(near.astype(np.float64) - X[:, None], ord=order, axis=2) <= r[:, None]
        assert (model.predict(near.reshape(-1, features)).reshape(2, 200)[inside] == y[np.nonzero(inside)[0]]).all()


def test_one_half_space_is_certified_exactly_but_for_rounding():
    rng = np.random.default_rng(1)
    for _ in range(20):
        normal, x = rng.standard_normal(50).astype(np.float32), rng.uniform(0, 1, 50).astype(np.float32)
        beyond = normal.astype(np.float64) @ x - 0.3
        got = radius([stump(normal, np.float32(0.3))], x, int(beyond > 0))
        true = abs(normal.astype(np.float64) @ x - np.float64(np.float32(0.3))) / np.linalg.norm(normal)
        assert 0 <= true - got <= 1e-4
        linf = radius([stump(normal, np.float32(0.3))], x, int(beyond > 0), "linf")
        assert linf == pytest.approx(true * np.linalg.norm(normal) / np.abs(normal).sum(), abs=1e-4)


def test_orthogonal_votes_add_up_their_squares():
    """Three votes along axes, all of which must keep the majority: two have to flip, the cheapest two together."""
    votes = [stump(np.eye(3)[i], t) for i, t in enumerate((0.3, 0.4, 0.0))]
    assert radius(votes, np.ones(3), 1, steps=300) == pytest.approx(np.hypot(0.7, 0.6), rel=2e-3)


def test_a_tie_is_class_zero():
    """With two votes for class 1 one flip makes a tie, so class 1 has the radius of one; class 0 needs both."""
    votes = [stump([1, 0], 0.5), stump([0, 1], 0.5)]
    assert radius(votes, [0.8, 0.9], 1, steps=200) == pytest.approx(0.3, rel=1e-3)
    assert radius(votes, [0.3, 0.1], 0, steps=200) == pytest.approx(np.hypot(0.2, 0.4), rel=2e-3)
    assert radius(votes, [0.3, 0.9], 0, steps=200) == pytest.approx(0.2, rel=1e-3)  # a tie already: one is enough


def test_an_output_sum_of_zero_is_class_zero_and_a_step_above_is_not():
    """Two units of opposite effect: a sum of 0 needs a rise; a single unit's fall to exactly 0 changes class 1."""
    two = [vote([[1, 0], [0, 1]], [0.5, 0.5], [1.0, 1.0], 1.0)]
    assert radius(two, [0.9, 0.2], 0) == pytest.approx(0.3, rel=1e-3)  # sum 0: the second unit lifts it to 1
    assert radius(two, [0.9, 0.6], 1) == pytest.approx(0.1, rel=1e-3)  # sum 1: the second unit's fall is enough


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_misclassified_point_has_radius_zero(norm):
    votes = [stump([1, 0], 0.5), stump([0, 1], 0.5), stump([1, 1], 0.5)]
    certificates = certify(votes, np.ones((1, 2), dtype=np.float32), np.array([0]), norm, **QUICK)
    assert certificates.radius[0] == 0
    assert verify_certificate(votes, np.ones((1, 2), dtype=np.float32), np.array([0]), certificates).all()


@pytest.mark.parametrize("y", [0, 1])
def test_a_unit_on_the_point_gives_zero_where_it_matters(y):
    on_point = stump([1, 0], 0.5) if y == 0 else stump([-1, 0], np.nextafter(np.float32(-0.5), np.float32(-1)))
    x = [0.5, 0.5]
    assert radius([on_point], x, y) == 0
    far = stump([0, 1], 0.9 if y == 0 else 0.1)
    assert radius([on_point, far, far], x, y) == pytest.approx(0.4, rel=1e-3)  # the vote alone changes nothing


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_label_that_nothing_can_change_has_an_infinite_radius(norm):
    constant = vote([[1, 0]], [0.5], [0.0], -1.0)
    zero = vote([[0, 0]], [-1.0], [1.0], 0.5)
    assert np.isinf(radius([constant, zero, stump([1, 0], 0.5)], [0.2, 0.2], 1, norm))
    assert np.isfinite(radius([constant, stump([1, 0], 0.5)], [0.7, 0.2], 1, norm))  # a tie would be class 0


def test_duplicate_votes_flip_together():
    """Five copies of a vote: three must flip, at the distance of one."""
    assert radius([stump([1, 2], 0.5)] * 5, [1, 1], 1, steps=200) == pytest.approx(2.5 / np.sqrt(5), rel=1e-3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ensembles)
def test_a_certificate_of_another_model_is_refused(ensemble):
    seed, count, units = ensemble
    votes = random_votes(seed, count, units, features=6, degenerate=False)
    X = np.random.default_rng(seed).uniform(0, 1, (1, 6)).astype(np.float32)
    y = labels(votes, X.astype(np.float64))
    certificates = certify(votes, X, y, steps=20, n_jobs=1)
    if not 0 < certificates.radius[0] < np.inf:
        return
    grown = dataclasses.replace(certificates, radius=certificates.radius * 1.001)
    assert not verify_certificate(votes, X, y, grown)[0]
    other = [dict(one) for one in votes]
    for one in other:  # every unit a hundredth nearer to the point
        z = one["hidden"].astype(np.float64) @ X[0].astype(np.float64)
        one["thresholds"] = (one["thresholds"] + 0.01 * (z - one["thresholds"])).astype(np.float32)
    assert not verify_certificate(other, X, y, certificates)[0]
    assert not verify_certificate(votes, X, 1 - y, certificates)[0]


def test_weights_that_are_not_below_the_identity_prove_nothing():
    votes = [stump([1, 0, 0.1], 0.1), stump([0, 1, 0.1], 0.1), stump([0.1, 0, 1], 0.1)]
    X, y = np.ones((1, 3), dtype=np.float32), np.array([1])
    certificates = certify(votes, X, y, steps=20, n_jobs=1)
    (proof,) = certificates.proofs
    assert isinstance(proof, Proof)
    for forged in (
        dataclasses.replace(proof, nu=proof.nu * 0.9),
        dataclasses.replace(proof, nu=-proof.nu),
        dataclasses.replace(proof, nu=proof.nu * np.nan),
        dataclasses.replace(proof, units=proof.units[::-1]),
        dataclasses.replace(proof, nu=proof.nu[1:]),
        dataclasses.replace(proof, units=proof.units + 3),
    ):
        lied = dataclasses.replace(certificates, proofs=[forged])
        assert not verify_certificate(votes, X, y, lied)[0]
    assert verify_certificate(votes, X, y, certificates)[0]


def test_more_steps_or_budget_never_lower_a_radius():
    votes = random_votes(3, 15, 6, features=10, degenerate=False)
    X = np.random.default_rng(3).uniform(0, 1, (6, 10)).astype(np.float32)
    y = labels(votes, X.astype(np.float64))
    found = [certify(votes, X, y, steps=steps, n_jobs=1).radius for steps in (0, 40, 80, 160)]
    assert all((b >= a).all() for a, b in itertools.pairwise(found))
    assert (found[-1] > found[0]).any()
    none = certify(votes, X, y, budget_seconds=0.0, n_jobs=1)
    np.testing.assert_array_equal(none.radius, found[0])
    np.testing.assert_array_equal(certify(votes, X, y, steps=80, budget_seconds=1e9, n_jobs=2).radius, found[2])


def test_the_bounds_on_digits_are_below_what_an_attack_finds(digits):
    X, y, T, t = digits
    model = SCDClassifier().use_votes(fitted_votes(X, y, 12, 10), n_features=64)
    T, t = T[:30], t[:30]
    bounds = lower_bounds(model.votes_, T, t, steps=40)
    wrong = model.predict(T) != t
    np.testing.assert_array_equal(bounds["l2_lower"][wrong], 0)
    others = [X[model.predict(X) == 1 - label] for label in (0, 1)]
    for i in np.flatnonzero(~wrong):
        far, near = others[t[i]].astype(np.float64), np.broadcast_to(T[i], others[t[i]].shape).astype(np.float64)
        for _ in range(25):  # bisection along the lines to all training points of the other label
            middle = ((far + near) / 2).astype(np.float32)
            changed = (model.predict(middle) != t[i])[:, None]
            far, near = np.where(changed, middle, far), np.where(changed, near, middle)
        move = far - T[i].astype(np.float64)
        assert bounds["l2_lower"][i] <= np.linalg.norm(move, axis=1).min()
        assert bounds["linf_lower"][i] <= np.abs(move).max(axis=1).min()
        assert bounds["linf_lower"][i] >= bounds["l2_lower"][i] / 8 * (1 - 1e-6)
    assert (bounds["l2_lower"][~wrong] > 0).mean() > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_grown_ensemble_has_the_certificates_of_one_that_was_fitted_whole(digits, seed):
    X, y, T, t = digits
    settings = {"n_iter": 20, "hidden_nodes": 4, "random_state": seed}
    grown = SCDClassifier(n_votes=3, warm_start=True, **settings).fit(X, y)
    of_three = certify(grown.votes_, T[:20], t[:20], **QUICK)
    grown.set_params(n_votes=7).fit(X, y)
    certificates = certify(grown.votes_, T[:20], t[:20], **QUICK)
    whole = SCDClassifier(n_votes=7, **settings).fit(X, y)
    np.testing.assert_array_equal(certificates.radius, certify(whole.votes_, T[:20], t[:20], **QUICK).radius)
    assert verify_certificate(whole.votes_, T[:20], t[:20], certificates).all()
    assert verify_certificate(whole.votes_[:3], T[:20], t[:20], of_three).all(), "the first votes stay"
    assert not verify_certificate(grown.votes_, T[:20], t[:20], of_three).all()


def test_another_seed_has_certificates_of_its_own(digits):
    X, y, T, t = digits
    fits = [SCDClassifier(n_votes=5, n_iter=20, hidden_nodes=4, random_state=seed).fit(X, y) for seed in (0, 1)]
    first, second = (certify(fit.votes_, T[:20], t[:20], **QUICK) for fit in fits)
    assert (first.radius != second.radius).any()
    assert verify_certificate(fits[0].votes_, T[:20], t[:20], first).all()
    assert not verify_certificate(fits[1].votes_, T[:20], t[:20], first).all()


def test_the_library_speaks_the_classes_of_the_fit_and_refuses_mean_votes(digits):
    X, y, T, t = digits
    names = np.array(["three", "eight"])
    model = SCDClassifier().use_votes(fitted_votes(X, y, 3, 6), np.unique(names), n_features=64)
    encoded = (names[t] == model.classes_[1]).astype(np.int64)
    expected = certify(model.votes_, T[:5], encoded[:5], steps=20).radius
    np.testing.assert_array_equal(model.certified_radius(T[:5], names[t][:5], steps=20), expected)
    with pytest.raises(ValueError, match="'y' of certified_radius"):
        model.certified_radius(T[:5], t[:5])
    with pytest.raises(ValueError, match="'voting' parameter"):
        model.set_params(voting="mean").certified_radius(T[:5], names[t][:5])
    with pytest.raises(ValueError, match="sign networks"):
        SignUnits([{"weights": np.zeros(3)}])


def test_weights_shared_by_many_points_prove_more_than_the_order_statistic_and_are_verified(digits):
    X, y, T, t = digits
    votes = fitted_votes(X, y, 12, 10)
    shared = certify(votes, T[:60], t[:60], steps=0, n_jobs=2)
    assert verify_certificate(votes, T[:60], t[:60], shared).all()
    assert (shared.radius >= shared.order).all()
    assert (shared.radius > shared.order).mean() > 0.3
    own = certify(votes, T[:60], t[:60], steps=20, n_jobs=2)
    assert (own.radius >= shared.radius).all()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 10**9), st.integers(1, 9))
def test_covers_are_the_cheapest_of_all_subsets(seed, n):
    rng = np.random.default_rng(seed)
    price = rng.integers(0, 6, n).astype(np.float64) if seed % 2 else rng.random(n)
    effect = rng.integers(1, 5, n).astype(np.float64)
    need = float(rng.integers(0, int(effect.sum()) + 2))
    subsets = np.array(list(itertools.product([0, 1], repeat=n)), dtype=np.float64)
    prices = (subsets @ price)[subsets @ effect >= need]
    chosen = np.zeros(n, dtype=np.bool_)
    found = cover_price(price, effect, need, chosen)
    assert found == pytest.approx(prices.min() if len(prices) else np.inf)
    if np.isfinite(found):
        assert effect[chosen].sum() >= need
        assert price[chosen].sum() == pytest.approx(found)


def test_the_cholesky_margin_refuses_what_is_only_just_indefinite():
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((40, 60))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    gram = normals @ normals.T
    top = np.linalg.eigvalsh(gram)[-1]
    assert spectral_margin(gram, np.full(40, top * (1 + 1e-8)), 60)
    assert not spectral_margin(gram, np.full(40, top * (1 - 1e-8)), 60)
    assert not spectral_margin(gram, np.full(40, top), 60)  # nothing is left for rounding
