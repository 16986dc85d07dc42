"""L-infinity distances of tree ensembles equal those of dtai-veritas, a verifier that reads the models by itself."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import make_moons
from sklearn.ensemble import RandomForestClassifier

from attacks.leaf_tuple import LeafTuple
from scd.certificates import certify_trees, exact_tree_distance
from scd.trees import as_trees
from tests.scd.trees.small_forests import random_forest, random_points

veritas = pytest.importorskip("veritas", reason="pip install dtai-veritas")

WITHIN = 1e-5
"""What its search leaves between its two sides, and our float32 inputs between theirs and ours."""


def veritas_distance(ensemble, x, label):
    """The L-infinity distance of the closest point of the other label, by halving the radius of a box.

    Parameters
    ----------
    ensemble : veritas.AddTree
        Its sum is above 0 for label 1.
    x : (d,)
    label : int
    """
    trees = {"source_at": None, "target_at": ensemble} if label == 0 else {"source_at": ensemble, "target_at": None}
    search = veritas.VeritasRobustnessSearch(
        x.astype(np.float64), 2.0, **trees, num_steps=40, max_time=60, search_guard=1e-9, silent=True
    )
    _, lower, upper = search.search()
    assert upper - lower <= WITHIN
    return (lower + upper) / 2


def same_votes(model):
    """The trees of a hard-voting forest as one sum of votes of -1 and 1, with a half taken off: a tie is label 0."""
    ensemble = veritas.AddTree(1, veritas.AddTreeType.REGR)
    for vote in model.votes_:
        tree = ensemble.add_tree()
        _copy(vote, 0, tree, tree.root())
    ensemble.set_base_score(0, -0.5)
    return ensemble


def _copy(vote, node, tree, place):
    if vote["left"][node] < 0:
        tree.set_leaf_value(place, 0, 1.0 if vote["share"][node] > 0.5 else -1.0)
        return
    threshold = np.float32(vote["threshold"][node])
    tree.split(place, int(vote["feature"][node]), float(np.nextafter(threshold, np.float32(np.inf))))
    _copy(vote, vote["left"][node], tree, tree.left(place))
    _copy(vote, vote["right"][node], tree, tree.right(place))


def test_the_distance_of_a_hard_voting_forest_is_that_of_veritas():
    compared = 0
    for seed in range(8):
        model = random_forest(seed, trees=7, features=3, depth=4)
        ensemble, X = same_votes(model), random_points(seed, 3, 8)
        y = model.predict(X)
        certified = certify_trees(model.trees(), X, y, "linf").radius
        for x, label, radius in zip(X, y, certified, strict=True):
            exact = exact_tree_distance(model.trees(), x, int(label), "linf")
            assert exact.lower == exact.upper
            if exact.upper < 1:  # no point beyond the box of veritas' search
                theirs = veritas_distance(ensemble, x, int(label))
                assert exact.upper == pytest.approx(theirs, abs=WITHIN)
                assert radius <= theirs + WITHIN
                compared += 1
    assert compared > 40


def fitted(name, X, y):
    if name == "forest":
        return RandomForestClassifier(9, max_depth=4, random_state=0).fit(X, y)
    if name == "xgboost":
        return xgboost.XGBClassifier(n_estimators=8, max_depth=3, random_state=0, n_jobs=1).fit(X, y)
    model = lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6, random_state=0, n_jobs=1, verbose=-1)
    return model.fit(X, y)


@pytest.mark.parametrize("name", ["forest", "xgboost", "lightgbm"])
def test_the_attack_on_a_fitted_model_is_as_close_as_veritas(name):
    X, y = make_moons(300, noise=0.25, random_state=0)
    X = ((X - X.min(0)) / np.ptp(X, axis=0)).astype(np.float32)
    model = fitted(name, X, y)
    points = X[:12]
    labels = model.predict(points).astype(np.int64)
    found = LeafTuple(norm="linf", nodes=100_000)(model.predict, points, labels, trees=model, clip=(-1.0, 2.0))
    assert found.success.all()
    assert found.extra["exact"].all()
    radii = certify_trees(as_trees(model), points, labels, "linf").radius
    ensemble = veritas.get_addtree(model, silent=True)
    for x, label, distance, radius in zip(points, labels, found.linf, radii, strict=True):
        theirs = veritas_distance(ensemble, x, int(label))
        assert distance == pytest.approx(theirs, abs=WITHIN)
        assert radius <= theirs + WITHIN
