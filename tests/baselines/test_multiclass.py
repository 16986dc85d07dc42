"""More than two classes: every baseline that takes them predicts what scikit-learn's own object predicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from baselines.cnn1d import CNN1DVotes
from baselines.estimator import EstimatorVotes
from baselines.forest import ForestVotes, fit_tree
from baselines.lenet import LeNetVotes
from baselines.logistic import LogisticVotes
from baselines.mlp import MLPVotes
from baselines.resnet50 import ResNet50Votes
from baselines.workers.mlp_vote import fit_network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KEPT = np.isin(load_digits().target, (1, 4, 7, 8))
X = (load_digits().data[KEPT] / 16).astype(np.float32)
Y = np.array([f"digit {label}" for label in load_digits().target[KEPT]])
CODES = np.unique(Y, return_inverse=True)[1]
X_FIT, X_TEST, Y_FIT, Y_TEST = X[:200], X[200:500], Y[:200], Y[200:500]

FOREST = ForestVotes(n_votes=4, n_jobs=1, max_depth=5, random_state=3)
MLP = MLPVotes(n_votes=3, n_jobs=1, max_iter=40, learning_rate=0.5, random_state=3, device="cpu")
NAIVE_BAYES = EstimatorVotes(GaussianNB(), n_votes=3, bootstrap=True, trust_pickle=True, random_state=3)


def single(model, vote):
    """scikit-learn's own object of a vote, fitted on codes of the classes."""
    y = CODES[:200]
    if isinstance(model, ForestVotes):
        return fit_tree(model._tree(), X_FIT, y, 3, vote)
    return fit_network(model._network(), X_FIT, y, 3, vote)


@pytest.mark.parametrize("model", [FOREST, MLP], ids=["forest", "mlp"])
def test_every_vote_predicts_what_scikit_learn_predicts(model):
    fitted = model.fit(X_FIT, Y_FIT)
    singles = [single(model, vote) for vote in range(model.n_votes)]
    np.testing.assert_array_equal(fitted.votes(X_TEST), np.stack([s.predict(X_TEST) for s in singles], axis=1))
    expected = np.stack([s.predict_proba(X_TEST) for s in singles], axis=1)
    np.testing.assert_allclose(fitted.vote_probabilities(X_TEST), expected, atol=1e-5)
    members = np.arange(len(X_TEST)) % model.n_votes
    own = fitted.votes(X_TEST)[np.arange(len(X_TEST)), members]
    np.testing.assert_array_equal(fitted.member_labels(X_TEST, members), fitted.classes_[own])


@pytest.mark.parametrize("model", [FOREST, MLP, NAIVE_BAYES], ids=["forest", "mlp", "estimator"])
def test_the_ensemble_is_the_label_of_most_votes_or_the_highest_mean_probability(model, tmp_path):
    fitted = model.fit(X_FIT, Y_FIT)
    counts = np.stack([(fitted.votes(X_TEST) == k).sum(axis=1) for k in range(4)], axis=1)
    np.testing.assert_array_equal(fitted.predict(X_TEST), fitted.classes_[counts.argmax(axis=1)])
    np.testing.assert_allclose(fitted.predict_proba(X_TEST), counts / model.n_votes)
    assert (fitted.predict(X_TEST) == Y_TEST).mean() > 0.7
    mean = model.set_params(voting="mean")
    best = mean.vote_probabilities(X_TEST).mean(axis=1).argmax(axis=1)
    np.testing.assert_array_equal(mean.predict(X_TEST), mean.classes_[best])
    model.set_params(voting="hard")
    if not isinstance(model, EstimatorVotes):
        model.save(tmp_path / "votes.npz")
        np.testing.assert_array_equal(type(model).load(tmp_path / "votes.npz").votes(X_TEST), model.votes(X_TEST))


def test_labels_of_a_network_do_not_depend_on_the_other_inputs():
    fitted = MLP.fit(X_FIT, Y_FIT)
    alone = np.concatenate([fitted.votes(X_TEST[i : i + 1]) for i in range(30)])
    np.testing.assert_array_equal(alone, fitted.votes(X_TEST)[:30])


def test_the_smoothed_fraction_of_votes_tends_to_the_fraction():
    fitted = MLP.fit(X_FIT, Y_FIT)
    smooth = fitted.smooth(torch.from_numpy(X_TEST), 1.0, 1e5)
    assert smooth.shape == (len(X_TEST), 4)
    np.testing.assert_allclose(smooth, fitted.predict_proba(X_TEST), atol=1e-2)


def test_logistic_regression_is_scikit_learns_and_its_radius_is_the_distance_of_the_nearest_hyperplane():
    model = LogisticVotes(C=0.1, device="cpu").fit(X_FIT, Y_FIT)
    sklearns = LogisticRegression(C=0.1, max_iter=1000).fit(X_FIT, Y_FIT)
    np.testing.assert_array_equal(model.predict(X_TEST), sklearns.predict(X_TEST))
    np.testing.assert_allclose(model.vote_probabilities(X_TEST)[:, 0], sklearns.predict_proba(X_TEST), atol=1e-5)
    scores, w = sklearns.decision_function(X_TEST), sklearns.coef_
    for norm, order in (("l2", 2), ("linf", 1)):
        radius = model.certified_radius(X_TEST, Y_TEST, norm)
        for e in range(40):
            y = int(np.flatnonzero(model.classes_ == Y_TEST[e])[0])
            others = [j for j in range(4) if j != y]
            gaps = [(scores[e, y] - scores[e, j]) / np.linalg.norm(w[y] - w[j], order) for j in others]
            assert radius[e] == pytest.approx(max(0.0, min(gaps)), rel=1e-4, abs=1e-6)


def test_a_tie_of_votes_is_the_first_class_of_those_in_it():
    votes = [np.array([2, 1, 2, 1]), np.array([3, 0, 2, 2])]

    class Fixed(ForestVotes):
        def votes(self, X):
            return np.stack(votes)

    model = Fixed()
    model.classes_, model.votes_ = np.array(list("abcd")), [{}] * 4
    assert model.predict(np.zeros((2, 1))).tolist() == ["b", "c"]


def test_damaged_votes_of_many_classes_are_refused():
    votes = MLP.fit(X_FIT, Y_FIT).votes_
    broken = {**votes[1], "output_threshold": votes[1]["output_threshold"][:2]}
    with pytest.raises(ValueError, match=r"Vote 1 of MLPVotes.*output_threshold"):
        MLP.check_votes([votes[0], broken], X.shape[1])
    forest = FOREST.fit(X_FIT, Y_FIT).votes_
    with pytest.raises(ValueError, match=r"Vote 1 of ForestVotes.*'share' must have the shape"):
        FOREST.check_votes([forest[0], {**forest[1], "share": forest[1]["share"][:, :2]}], X.shape[1])


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(LeNetVotes, (1, 8, 8)), (CNN1DVotes, (64,)), pytest.param(ResNet50Votes, (1, 8, 8), marks=pytest.mark.thorough)],
    ids=str,
)
def test_torch_networks_have_an_output_for_each_class(kind, shape, tmp_path):
    large = kind is ResNet50Votes
    if large:
        pytest.importorskip("torchvision")
    epochs, n_fit, n_test = (1, 24, 10) if large else (8, 200, 100)
    x_test, y_test = X_TEST[:n_test], Y_TEST[:n_test]
    model = kind(n_votes=2, epochs=epochs, feature_shape=shape, learning_rate=3e-3, device="cpu", random_state=3)
    fitted = model.fit(X_FIT[:n_fit], Y_FIT[:n_fit])
    probabilities = fitted.vote_probabilities(x_test)
    assert probabilities.shape == (n_test, 2, 4)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1)
    np.testing.assert_array_equal(fitted.votes(x_test), probabilities.argmax(axis=2))
    assert large or (fitted.predict(x_test) == y_test).mean() > 0.7
    inputs = torch.from_numpy(X_TEST[:5]).requires_grad_(True)
    smooth = fitted.smooth(inputs, 1.0, 10.0)
    assert smooth.shape == (5, 4)
    (gradient,) = torch.autograd.grad(smooth[:, 0].sum(), inputs)
    assert torch.isfinite(gradient).all()
    fitted.save(tmp_path / "votes.npz")
    np.testing.assert_array_equal(kind.load(tmp_path / "votes.npz").predict(x_test), fitted.predict(x_test))
    broken = {name: array[..., :3] if name == kind._output_bias else array for name, array in fitted.votes_[1].items()}
    with pytest.raises(ValueError, match=f"Vote 1 of {kind.__name__}.*{kind._output_bias}"):
        fitted.check_votes([fitted.votes_[0], broken], 64)
