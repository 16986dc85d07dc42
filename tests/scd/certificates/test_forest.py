"""Certified radii of forests: never above the exact distance, which a walk through every cell gives."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scd.certificates import certify_trees, exact_tree_distance, verify_tree_certificates
from tests.scd.trees.small_forests import exact_by_cells, random_forest, random_points

FORESTS = {
    "seed": st.integers(0, 10**6),
    "trees": st.integers(1, 6),
    "features": st.integers(1, 3),
    "depth": st.integers(0, 4),
    "voting": st.sampled_from(["hard", "mean"]),
}


@settings(max_examples=60, deadline=None)
@given(**FORESTS)
def test_no_radius_is_above_the_exact_distance_and_the_complete_search_finds_it(seed, trees, features, depth, voting):
    model = random_forest(seed, trees, features, depth, voting)
    X = random_points(seed, features)
    y = model.predict(X)
    unsure = np.abs(model.trees().score(X)) <= (model.trees().rounding if voting == "mean" else -1)
    for norm in ("l2", "linf"):
        found = certify_trees(model.trees(), X, y, norm, steps=20)
        assert verify_tree_certificates(model.trees(), X, y, found).all()
        assert (found.order <= found.radius).all()
        for i in np.flatnonzero(~unsure):
            exact = exact_by_cells(model, X[i], y[i])[norm == "linf"]
            assert found.radius[i] <= exact
            closed = exact_tree_distance(model.trees(), X[i], int(y[i]), norm, clip=(0.0, 1.0))
            assert closed.lower <= exact * (1 + 1e-12)
            assert closed.upper >= exact * (1 - 1e-12)
            if voting == "hard":
                assert closed.lower == closed.upper


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), features=st.integers(1, 3))
def test_of_one_tree_the_radius_is_its_distance(seed, features):
    model = random_forest(seed, 1, features, 4)
    X = random_points(seed, features)
    y = model.predict(X)
    everywhere = [exact_by_cells(model, x, label, -9.0, 9.0)[0] for x, label in zip(X, y, strict=True)]
    np.testing.assert_allclose(certify_trees(model.trees(), X, y).radius, everywhere, rtol=1e-6)


def test_trees_on_features_of_their_own_add_up():
    """Each of five stumps moves with its own feature, at distance 0.1: three must move, sqrt(3) * 0.1 together."""
    stump = {
        "left": np.array([1, -1, -1], dtype=np.int32),
        "right": np.array([2, -1, -1], dtype=np.int32),
        "threshold": np.array([0.5, 0.0, 0.0]),
        "share": np.array([0.5, 0.0, 1.0]),
    }
    votes = [{**stump, "feature": np.array([f, -2, -2], dtype=np.int32)} for f in range(5)]
    model = random_forest(0, 5, 5).use_votes(votes, (0, 1), 5)
    x, y = np.full((1, 5), 0.4, dtype=np.float32), np.array([0])
    found = certify_trees(model.trees(), x, y)
    assert found.radius[0] == pytest.approx(np.sqrt(3) * 0.1, rel=1e-5)
    assert found.order[0] == pytest.approx(0.1, rel=1e-5)
    assert certify_trees(model.trees(), x, y, "linf").radius[0] == pytest.approx(0.1, rel=1e-5)


def test_more_steps_prove_more_and_a_spent_budget_leaves_single_trees():
    model = random_forest(7, 25, 6, 5)
    X = random_points(1, 6, 20)
    y = model.predict(X)
    none, some = (certify_trees(model.trees(), X, y, steps=steps).radius for steps in (0, 90))
    assert some.mean() > none.mean()
    spent = certify_trees(model.trees(), X, y, budget_seconds=1e-9)
    np.testing.assert_array_equal(spent.radius, spent.order)


def test_a_misclassified_point_has_radius_0_and_a_constant_forest_infinity():
    model = random_forest(2, 5, 2, 3)
    X = random_points(3, 2)
    assert (certify_trees(model.trees(), X, 1 - model.predict(X)).radius == 0).all()
    constant = random_forest(2, 3, 2, 0)
    assert np.isinf(certify_trees(constant.trees(), X, constant.predict(X)).radius).all()
    assert exact_tree_distance(constant.trees(), X[0], int(constant.predict(X)[0])).upper == np.inf


def test_a_larger_radius_and_another_proof_or_forest_are_refused():
    model = random_forest(7, 25, 6, 5)
    X = random_points(1, 6, 10)
    y = model.predict(X)
    found = certify_trees(model.trees(), X, y, steps=60)
    proved = np.array([proof is not None for proof in found.proofs])
    assert proved.any()

    def accepted(forest=model, **changed):
        return verify_tree_certificates(forest.trees(), X, y, dataclasses.replace(found, **changed))

    assert accepted().all()
    assert not accepted(radius=found.radius * 1.01)[proved].any()
    for change in ({"share": 2.0}, {"multiplier": -1.0}, {"reach": 0.5}):
        proofs = [
            proof and dataclasses.replace(proof, **{n: getattr(proof, n) * by for n, by in change.items()})
            for proof in found.proofs
        ]
        if "share" in change:  # shares beyond 1 are scaled down: no more is proved with them
            assert not accepted(proofs=proofs, radius=found.radius * 1.01)[proved].any()
        else:
            assert not accepted(proofs=proofs)[proved].any()
    assert not verify_tree_certificates(model.trees(), X, 1 - y, found)[found.radius > 0].any()
    assert not accepted(random_forest(8, 25, 6, 5)).all()


def test_a_search_without_nodes_leaves_an_interval():
    model = random_forest(11, 9, 4, 5)
    x = random_points(5, 4)[1]
    y = int(model.predict(x[None])[0])
    closed, stopped = (exact_tree_distance(model.trees(), x, y, nodes=nodes) for nodes in (10**6, 1))
    assert closed.lower == closed.upper < np.inf
    assert stopped.lower <= closed.lower
    assert stopped.upper >= closed.upper
    label = model.predict((x + closed.move).astype(np.float32)[None])[0]
    assert label != y
    assert exact_tree_distance(model.trees(), x, y, below=closed.upper).upper == np.inf
