"""HopSkipJump compared with that of ART 1.20.1: same schedule, distances not larger, its known faults absent."""

import random
import sys

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import HopSkipJump, HopSkipJumpART
from tests.attacks.half_space import HalfSpace, best_of_each_run, same_result


@pytest.fixture
def art():
    return pytest.importorskip("art", reason="ART (adversarial-robustness-toolbox) is not installed")


@pytest.fixture(scope="module")
def digits():
    """A logistic regression on the digits 3 and 8, and eight digits that it classifies correctly."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.linear_model import LogisticRegression

    images, label = sklearn_datasets.load_digits(return_X_y=True)
    pair = np.isin(label, (3, 8))
    x, y = (images[pair] / 16).astype(np.float32), (label[pair] == 8).astype(int)
    model = LogisticRegression(max_iter=500).fit(x[:200], y[:200])
    right = np.flatnonzero(model.predict(x[200:]) == y[200:])[:8] + 200
    return model, x[right], y[right]


@pytest.mark.thorough
def test_same_queries_and_distances_not_larger_than_art_on_digits(art, digits):
    model, x, y = digits
    settings = {"max_iter": 15, "restarts": 3, "seed": 4}
    ours, theirs = (attack(**settings)(model.predict, x, y) for attack in (HopSkipJump, HopSkipJumpART))
    assert ours.success.all()
    assert theirs.success.all()
    np.testing.assert_allclose(ours.queries, theirs.queries, rtol=0.10)
    mine, other = best_of_each_run(ours), best_of_each_run(theirs)  # the starts are the same, so runs are paired
    noise = np.std(mine - other, ddof=1) / np.sqrt(len(mine))
    assert mine.mean() <= other.mean() + 3 * noise
    assert ours.l2.mean() <= theirs.extra["l2_returned"].mean()


def test_projection_only_shortens_and_ends_at_the_boundary(art):
    model = HalfSpace(60, 0.2, seed=1)
    result = HopSkipJumpART(max_iter=5, restarts=2)(model, model.x, [0])
    assert 0.2 <= result.l2[0] < result.extra["l2_returned"][0]
    assert 0 < model.beyond(result.adversarials)[0] < 1e-4 * result.l2[0]
    assert result.queries[0] + 1 == model.queried  # the last one confirms


def test_a_failed_start_is_a_failure_and_not_distance_zero(art):
    x = np.full((2, 5), 0.5)
    result = HopSkipJumpART(max_iter=2, restarts=2, init_size=3)(lambda rows: np.zeros(len(rows), int), x, [0, 1])
    assert not result.success.any()
    assert result.reason.tolist() == ["no adversarial start", "already misclassified"]
    assert np.isnan(result.l2).all()
    assert np.isnan(result.extra["l2_returned"]).all()


def test_global_generators_are_left_as_they_were_and_do_not_matter(art):
    model = HalfSpace(20, 0.2, seed=2)
    results = []
    for seed in (1, 2):
        np.random.seed(seed)
        random.seed(seed)
        before = np.random.get_state()[1].tobytes(), random.getstate()
        results.append(HopSkipJumpART(max_iter=2, restarts=2)(model, model.x, [0]))
        assert (np.random.get_state()[1].tobytes(), random.getstate()) == before
    assert same_result(*results)


@pytest.mark.parametrize("after", [1, 30, 70])
def test_resumed_equals_uninterrupted(art, tmp_path, after):
    laws.resumes(HopSkipJumpART(max_iter=3, restarts=3, init_eval=10), tmp_path / "state.npz", after)


def test_a_query_budget_is_refused():
    with pytest.raises(ValueError, match=r"'query_budget' parameter of HopSkipJumpART must be None\. Got 5 instead\."):
        HopSkipJumpART(query_budget=5)


def test_without_art_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "art.attacks.evasion", None)
    model = HalfSpace(4, 0.2, seed=1)
    with pytest.raises(ImportError, match=r"pip install .\[art\]"):
        HopSkipJumpART()(model, model.x, [0])
