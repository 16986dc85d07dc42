"""Sign-OPT compared with that of ART 1.20.1: as close at the same queries; the wrapper's record, its refusals."""

import random

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import SignOPT, SignOPTART
from tests.attacks.half_space import HalfSpace, same_result

QUICK = {"max_iter": 3, "probes": 20, "init_size": 20}


@pytest.fixture
def art():
    return pytest.importorskip("art", reason="ART (adversarial-robustness-toolbox) is not installed")


@pytest.mark.thorough
@pytest.mark.parametrize("accelerated", [False, True])
def test_distances_are_at_most_5_percent_larger_than_those_of_art_at_the_same_queries(art, accelerated):
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.linear_model import LogisticRegression

    images, label = sklearn_datasets.load_digits(return_X_y=True)
    pair = np.isin(label, (3, 8))
    x, y = (images[pair] / 16).astype(np.float32), (label[pair] == 8).astype(int)
    model = LogisticRegression(max_iter=500).fit(x[:200], y[:200])
    right = np.flatnonzero(model.predict(x[200:]) == y[200:])[:8] + 200
    x, y = x[right], y[right]

    def predict(rows):
        return (rows @ model.coef_[0] + model.intercept_[0] > 0).astype(int)

    theirs = SignOPTART(max_iter=8, probes=100, seed=4)(predict, x, y)
    ours = SignOPT(accelerated=accelerated, probes=100, query_budget=int(theirs.queries.min()), seed=4)(predict, x, y)
    assert theirs.success.all()
    assert ours.success.all()
    assert ours.l2.mean() <= 1.05 * theirs.l2.mean()


def test_projection_shortens_and_every_query_is_counted(art):
    model = HalfSpace(60, 0.2, seed=1)
    result = SignOPTART(**QUICK)(model, model.x, [0])
    assert 0.2 <= result.l2[0] < result.extra["l2_returned"][0]
    assert 0 < model.beyond(result.adversarials)[0] < 1e-4 * result.l2[0]
    assert result.queries[0] + 1 == model.queried  # the last one confirms


def test_a_failed_start_is_a_failure_and_not_distance_zero(art):
    x = np.full((2, 5), 0.5)
    result = SignOPTART(**QUICK)(lambda rows: np.zeros(len(rows), int), x, [0, 1])
    assert not result.success.any()
    assert result.reason.tolist() == ["no adversarial start", "already misclassified"]
    assert np.isnan(result.l2).all()


def test_global_generators_are_left_as_they_were_and_do_not_matter(art):
    model = HalfSpace(20, 0.2, seed=2)
    results = []
    for seed in (1, 2):
        np.random.seed(seed)
        random.seed(seed)
        before = np.random.get_state()[1].tobytes(), random.getstate()
        results.append(SignOPTART(**QUICK)(model, model.x, [0]))
        assert (np.random.get_state()[1].tobytes(), random.getstate()) == before
    assert same_result(*results)


def test_nothing_outside_the_box_is_queried_or_returned(art):
    laws.stays_in_the_box(SignOPTART(**QUICK), (-1.0 / 3.0, 0.9))


@pytest.mark.parametrize("after", [1, 90])
def test_resumed_equals_uninterrupted(art, tmp_path, after):
    laws.resumes(SignOPTART(**QUICK, restarts=2), tmp_path / "state.npz", after)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("query_budget", 5, "None"),
        ("accelerated", True, "False, as ART has only Sign-OPT"),
        ("start", "nearest", "one of 'noise'"),
    ],
)
def test_what_art_does_not_have_is_refused(name, value, allowed):
    with pytest.raises(
        ValueError, match=rf"'{name}' parameter of SignOPTART must be {allowed}\. Got {value!r} instead"
    ):
        SignOPTART(**{name: value})
