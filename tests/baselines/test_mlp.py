"""The multilayer perceptron votes: scikit-learn's own labels, whatever trains them."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from baselines.mlp import MLPVotes
from baselines.workers.mlp_vote import fit_network

rare = partial(pytest.param, marks=pytest.mark.thorough)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _random_rows(digits):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 12)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] + rng.standard_normal(3000) > 0).astype(np.int64)
    return X[:200], y[:200], X[200:], y[200:]


@pytest.mark.parametrize("rows", [lambda digits: digits, _random_rows], ids=["digits", "random"])
@pytest.mark.parametrize("settings", [{}, rare({"hidden_nodes": 3, "batch_size": 16, "learning_rate": 0.2})], ids=str)
def test_labels_equal_those_of_scikit_learn_on_every_row(digits, rows, settings):
    X, y, X_test, _ = rows(digits)
    model = MLPVotes(n_votes=6, max_iter=40, n_jobs=1, random_state=3, **settings).fit(X, y)
    theirs = [fit_network(model._network(), X, y, 3, vote).predict(X_test) for vote in range(6)]
    np.testing.assert_array_equal(model.votes(X_test), np.stack(theirs, axis=1))


def test_near_the_boundary_float64_decides(digits):
    """Rows bisected onto each vote's decision boundary: the label is that of the fitted weights in float64.

    scikit-learn's float32 products round with the number of rows, so a row a rounding away has no one label there;
    everywhere else the two agree.
    """
    X, y = digits[:2]
    model = MLPVotes(n_votes=3, max_iter=40, n_jobs=1, random_state=0).fit(X, y)
    for vote in range(3):
        network = fit_network(model._network(), X, y, 0, vote)
        labels = network.predict(X)
        rows = min(40, (labels == 0).sum(), (labels == 1).sum())
        low, high = X[labels == 0][:rows], X[labels == 1][:rows]
        for _ in range(24):
            middle = (low + high) / 2
            logit, found = _logit(network, middle), model.votes(middle)[:, vote]
            decided = np.abs(logit) > 1e-12
            np.testing.assert_array_equal(found[decided], (logit > 0)[decided])
            clear = np.abs(logit) > 1e-5
            np.testing.assert_array_equal(found[clear], network.predict(middle)[clear])
            low = np.where(logit[:, None] > 0, low, middle)
            high = np.where(logit[:, None] > 0, middle, high)
        assert np.abs(logit).max() < 1e-5, "the rows are on the boundary by now"


def _logit(network, X):
    """(n,) float64 logits of a fitted MLPClassifier."""
    (w, u), (b, c) = ([part.astype(np.float64) for part in parts] for parts in (network.coefs_, network.intercepts_))
    return (1 / (1 + np.exp(-(X.astype(np.float64) @ w + b))) @ u + c)[:, 0]


def test_votes_are_float32_networks(digits):
    vote = MLPVotes(n_votes=1, max_iter=2, n_jobs=1).fit(*digits[:2]).votes_[0]
    shapes = {name: vote[name].shape for name in ("hidden", "thresholds", "output", "output_threshold")}
    assert shapes == {"hidden": (20, 64), "thresholds": (20,), "output": (20,), "output_threshold": ()}
    assert all(vote[name].dtype == np.float32 for name in shapes)


def test_digits_are_learned_by_the_majority(digits):
    X, y, X_test, y_test = digits
    assert MLPVotes(n_votes=5, n_jobs=1, random_state=0, max_iter=150).fit(X, y).score(X_test, y_test) > 0.85


def test_the_votes_that_did_not_converge_are_counted_in_one_sentence(digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = MLPVotes(n_votes=4, max_iter=3, n_jobs=1, random_state=0).fit(*digits[:2])
    messages = [str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)]
    assert messages == ["4 of 4 votes had not converged after max_iter=3 epochs."]
    np.testing.assert_array_equal(model.n_iter_, [3, 3, 3, 3])


def test_other_warnings_are_given_once(digits):
    with pytest.warns(UserWarning, match="`batch_size` less than 1 or larger than sample size") as caught:
        MLPVotes(n_votes=3, max_iter=2, batch_size=1000, n_jobs=1, random_state=0).fit(*digits[:2])
    assert sum("batch_size" in str(w.message) for w in caught) == 1


def test_an_absent_device_is_refused_before_training(digits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"torch finds no CUDA device\. Got 'cuda' instead"):
        MLPVotes(device="cuda").check_params()


def test_mean_voting_is_the_authors_mean_of_probabilities(digits):
    X, y, X_test, _ = digits
    model = MLPVotes(n_votes=4, max_iter=40, voting="mean", n_jobs=1, random_state=3).fit(X, y)
    theirs = [fit_network(model._network(), X, y, 3, vote).predict_proba(X_test)[:, 1] for vote in range(4)]
    np.testing.assert_allclose(model.predict_proba(X_test)[:, 1], np.mean(theirs, axis=0), atol=1e-5)
