"""What training records of each vote, and votes that end when held-out samples gain nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from scd import SCDClassifier
from scd.engine.early_stopping import EarlyStopping, held_out_rows

SETTINGS = {"n_votes": 3, "n_iter": 60, "features_per_step": 16, "random_state": 0, "device": "cpu"}
BACKENDS = pytest.mark.parametrize("backend", ["cpu", "reference"])


@BACKENDS
def test_the_history_ends_with_the_balanced_accuracy_on_the_training_samples(digits, backend):
    X, y, _, _ = digits
    model = SCDClassifier(**SETTINGS, backend=backend).fit(X, y)
    votes = model.votes(X)
    assert len(model.history_) == 3
    for v, history in enumerate(model.history_):
        assert history["iteration"].tolist() == [25, 50, 60]
        assert history["train"][-1] == pytest.approx(balanced_accuracy_score(y, votes[:, v]))
        assert set(history) == {"iteration", "train"}


def test_the_history_grows_with_a_warm_start(digits):
    X, y, _, _ = digits
    whole = SCDClassifier(**SETTINGS).fit(X, y).history_
    model = SCDClassifier(**{**SETTINGS, "n_votes": 2}, warm_start=True).fit(X, y)
    grown = model.set_params(n_votes=3).fit(X, y).history_
    for first, second in zip(whole, grown, strict=True):
        np.testing.assert_array_equal(first["train"], second["train"])


@BACKENDS
@pytest.mark.parametrize(
    "more", [{}, {"basis": "blocks", "basis_size": 4, "feature_shape": (1, 8, 8), "noise": (0.1,)}]
)
def test_a_vote_is_its_network_with_the_best_score_on_held_out_samples(digits, backend, more):
    X, y, _, _ = digits
    settings = {**SETTINGS, "n_iter": 400, "n_iter_no_change": 60, "validation_fraction": 0.3, **more}
    model = SCDClassifier(**settings, backend=backend).fit(X, y)
    out = held_out_rows(y, 0.3, 0)
    votes = model.votes(X[out])
    for v, history in enumerate(model.history_):
        validation = history["validation"]
        best = int(np.argmax(validation))
        assert validation[best] == pytest.approx(balanced_accuracy_score(y[out], votes[:, v]))
        at = history["iteration"]
        if at[-1] < 400:  # at the first look that is 60 iterations after the best one
            assert at[-1] - at[best] == 75
    assert min(len(history["iteration"]) for history in model.history_) < 16


def test_votes_that_end_early_do_not_depend_on_threads_or_the_others(digits):
    X, y, X_test, _ = digits
    settings = {**SETTINGS, "n_iter": 300, "n_iter_no_change": 50}
    expected = SCDClassifier(**settings, n_jobs=1).fit(X, y).votes(X_test)
    np.testing.assert_array_equal(SCDClassifier(**settings, n_jobs=3).fit(X, y).votes(X_test), expected)
    grown = SCDClassifier(**{**settings, "n_votes": 1}, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(grown.set_params(n_votes=3).fit(X, y).votes(X_test), expected)


def test_patience_beyond_the_iterations_trains_all_of_them_on_the_other_samples(digits):
    X, y, _, _ = digits
    model = SCDClassifier(**SETTINGS, n_iter_no_change=1000).fit(X, y)
    kept = ~held_out_rows(y, 0.1, 0)
    plain = SCDClassifier(**SETTINGS).fit(X[kept], y[kept])
    for first, second in zip(model.history_, plain.history_, strict=True):
        np.testing.assert_array_equal(first["train"], second["train"])


def test_a_fraction_of_each_class_is_held_out():
    y = np.repeat([0, 1], [100, 10])
    out = held_out_rows(y, 0.2, 5)
    assert [int(out[y == label].sum()) for label in (0, 1)] == [20, 2]
    np.testing.assert_array_equal(out, held_out_rows(y, 0.2, 5))
    assert (out != held_out_rows(y, 0.2, 6)).any()


def test_too_few_samples_to_hold_any_out_are_refused(digits):
    X, y, _, _ = digits
    rows = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:2]])
    with pytest.raises(ValueError, match=r"'validation_fraction' .* must leave 2 samples of each class"):
        SCDClassifier(**SETTINGS, n_iter_no_change=10).fit(X[rows], y[rows])


def test_the_earliest_of_equal_scores_is_kept():
    scores = iter([0.5, 0.7, 0.7, 0.6])
    stop = EarlyStopping(1, 50, lambda vote: next(scores))
    ends = [stop(0, 25 * i, {"number": np.array(i)}) for i in (1, 2, 3, 4)]
    assert ends == [False, False, False, True]
    assert stop.best[0]["number"] == 2
    assert stop.scores == [[0.5, 0.7, 0.7, 0.6]]
