"""A vote depends on the root seed and its number: not on other votes, chunks, threads or how it was grown."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from scd import SCDClassifier

FOUR = [(loss, weights) for loss in ("01", "ce") for weights in ("real", "binary")]
SMALL = {"n_iter": 25, "hidden_nodes": 6, "random_state": 7}


def assert_same_votes(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            assert a[name].tobytes() == b[name].tobytes(), name


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_votes_one_by_one_equal_votes_together_equal_part_of_more(digits, loss, weights):
    X, y = digits[:2]
    model = SCDClassifier(loss=loss, weights=weights, n_votes=10, **SMALL)
    together = model.fit_votes(X, y, range(5))
    assert_same_votes(together, [model.fit_votes(X, y, range(v, v + 1))[0] for v in range(5)])
    assert_same_votes(together, model.fit(X, y).votes_[:5])
    assert_same_votes(model.votes_, together + model.fit_votes(X, y, range(5, 10)))  # a resumed training


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_votes_do_not_depend_on_memory_budget_or_threads(digits, loss, weights):
    X, y = digits[:2]
    settings = {"loss": loss, "weights": weights, "n_votes": 4, **SMALL}
    votes = SCDClassifier(**settings).fit(X, y).votes_
    assert_same_votes(votes, SCDClassifier(memory_budget="1KiB", **settings).fit(X, y).votes_)
    torch.set_num_threads(2)
    for n_jobs in (1, 3):
        assert_same_votes(votes, SCDClassifier(n_jobs=n_jobs, **settings).fit(X, y).votes_)


def test_votes_are_different_and_follow_the_seed(digits):
    X, y = digits[:2]
    first, again, other = (SCDClassifier(**{**SMALL, "n_votes": 3, "random_state": s}).fit(X, y) for s in (7, 7, 8))
    assert_same_votes(first.votes_, again.votes_)
    arrays = [vote["hidden"].tobytes() for vote in first.votes_ + other.votes_]
    assert len(set(arrays)) == 6


def test_five_votes_grown_to_ten_equal_ten(digits):
    X, y = digits[:2]
    grown = SCDClassifier(n_votes=5, warm_start=True, **SMALL).fit(X, y)
    kept = list(grown.votes_)
    grown.set_params(n_votes=10).fit(X, y)
    whole = SCDClassifier(n_votes=10, **SMALL).fit(X, y)
    assert_same_votes(grown.votes_, whole.votes_)
    assert all(a is b for a, b in zip(kept, grown.votes_, strict=False))  # nothing is trained twice
    np.testing.assert_array_equal(grown.predict(X), whole.predict(X))


def test_growth_without_a_fixed_seed_keeps_the_first_root(digits):
    X, y = digits[:2]
    grown = SCDClassifier(n_votes=2, warm_start=True, n_iter=5).fit(X, y)
    root, first = grown.root_seed_, list(grown.votes_)
    grown.set_params(n_votes=3).fit(X, y)
    assert grown.root_seed_ == root
    assert_same_votes(first, grown.votes_[:2])


def test_subset_is_the_first_votes(digits):
    X, y, X_test, _ = digits
    model = SCDClassifier(n_votes=6, **SMALL).fit(X, y)
    part = model.subset(4)
    assert part.n_votes == 4
    np.testing.assert_array_equal(part.votes(X_test), model.votes(X_test)[:, :4])
    np.testing.assert_array_equal(part.predict(X_test), part.classes_[(part.votes(X_test).mean(1) > 0.5).astype(int)])
    for k in (0, 7, 2.0, "3"):
        with pytest.raises(ValueError, match=r"The 'k' of subset must be an int in the range \[1, 6\]"):
            model.subset(k)


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_stored_correct_counts_equal_those_of_a_prediction(digits, loss, weights):
    X, y = digits[:2]
    model = SCDClassifier(loss=loss, weights=weights, n_votes=4, **SMALL).fit(X, y)
    correct = model.votes(X) == y[:, None]
    for v, vote in enumerate(model.votes_):
        assert vote["train_right"].tolist() == [correct[y == 0, v].sum(), correct[y == 1, v].sum()]


def test_majority_ties_are_the_first_class_and_probabilities_are_fractions_of_votes(digits):
    X, y, X_test, _ = digits
    model = SCDClassifier(n_votes=2, **SMALL).fit(X, y)
    votes = model.votes(X_test)
    assert votes.shape == (len(X_test), 2)
    assert votes.dtype == np.uint8
    assert (votes.sum(1) == 1).any(), "the law needs rows on which the two votes differ"
    np.testing.assert_array_equal(model.predict(X_test), votes.all(axis=1).astype(int))
    np.testing.assert_array_equal(model.predict_proba(X_test)[:, 1], votes.mean(axis=1))


@pytest.mark.parametrize("budget", [1, "2GiB"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_progress_counts_the_iterations_of_every_chunk(digits, budget, backend):
    """With a budget of one byte every vote is a chunk."""
    calls = []
    model = SCDClassifier(n_votes=3, memory_budget=budget, backend=backend, **SMALL)
    model.fit_votes(*digits[:2], range(3), lambda done, total, best: calls.append((done, total, best)))
    total = 75 if budget == 1 else 25
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert done == list(range(1, total + 1)) or (backend == "cpu" and done[-1] == total)
    assert all(call[1] == total for call in calls)
    assert all(0.5 <= call[2] <= 1 for call in calls)


def test_without_hidden_nodes_per_iteration_the_hidden_layer_stays_as_it_was_drawn(digits):
    X, y = digits[:2]
    short, long = (SCDClassifier(n_votes=2, n_iter=n, nodes_per_iter=0, random_state=3).fit(X, y) for n in (1, 40))
    for before, after in zip(short.votes_, long.votes_, strict=True):
        np.testing.assert_array_equal(before["hidden"], after["hidden"])
    assert any((a["output"] != b["output"]).any() for a, b in zip(short.votes_, long.votes_, strict=True))


def test_inputs_that_no_check_changes_are_recognised_and_all_others_checked(digits):
    X, y = digits[:2]
    model = SCDClassifier(n_votes=3, **SMALL)
    plain = np.ascontiguousarray(X, dtype=np.float32)
    with pytest.raises(NotFittedError):
        model.predict(plain)
    model.fit(X, y)
    assert model._checked(plain) is plain
    huge = np.full_like(plain[:2], 3e38)  # finite, but its sum is not
    np.testing.assert_array_equal(model._checked(huge), huge)
    for same in (plain.astype(np.float64), plain.tolist(), np.asfortranarray(plain), plain[::2]):
        np.testing.assert_array_equal(model.predict(same), model.predict(np.array(same, dtype=np.float32)))
    with_nan = np.where(plain == plain[0, 0], np.float32(np.nan), plain)
    for bad, said in ((plain[:, 1:], "features"), (plain[0], "2D"), (plain[:0], "0 sample"), (with_nan, "NaN")):
        with pytest.raises(ValueError, match=said):
            model.predict(bad)
    model.feature_names_in_ = np.array([f"column {k}" for k in range(X.shape[1])], dtype=object)
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(plain)
