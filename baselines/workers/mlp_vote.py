"""One vote of the multilayer perceptron; worker processes import this file, so it does not load torch."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from scd.seeds import vote_seed
from scd.storage import Vote


def fit_network(network: MLPClassifier, X: np.ndarray, y: np.ndarray, root_seed: int, vote: int) -> MLPClassifier:
    """Fit vote number `vote` with scikit-learn and return it as scikit-learn's own object."""
    with threadpool_limits(limits=1):  # also in a worker process
        return clone(network).set_params(random_state=vote_seed(root_seed, vote)).fit(X, y)


def train_vote(
    network: MLPClassifier, X: np.ndarray, y: np.ndarray, root_seed: int, vote: int
) -> tuple[Vote, list[tuple[type[Warning], str]]]:
    """Train vote number `vote` and return its arrays and scikit-learn's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = fit_network(network, X, y, root_seed, vote)
    hidden, output = fitted.coefs_
    binary = output.shape[1] == 1  # one sigmoid unit; of more classes a softmax
    arrays = {
        "hidden": np.ascontiguousarray(hidden.T),
        "thresholds": -fitted.intercepts_[0],
        "output": output[:, 0].copy() if binary else output,
        "output_threshold": np.array(-fitted.intercepts_[1][0]) if binary else -fitted.intercepts_[1],
        "n_iter": np.array(fitted.n_iter_),
    }
    return arrays, [(warning.category, str(warning.message)) for warning in caught]
