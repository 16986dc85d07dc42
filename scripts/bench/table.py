"""Training on a large table of real numbers, against scikit-learn's MLPClassifier at equal accuracy."""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier

from scd import SCDClassifier
from scripts.bench.measure import Section, threads, timed

_SAMPLES, _FEATURES, _TEST = 100_000, 50, 20_000
_BATCH = 5_000
_VOTES, _ITERATIONS = 10, 1_000
_EPOCHS = 50


def table() -> Section:
    """Ten votes with small batches, and the epochs in which a perceptron of 20 nodes reaches their accuracy."""
    X, y = make_classification(_SAMPLES + _TEST, _FEATURES, n_informative=10, random_state=0)
    X = ((X - X[:_SAMPLES].mean(0)) / X[:_SAMPLES].std(0)).astype(np.float32)
    train, test = (X[:_SAMPLES], y[:_SAMPLES]), (X[_SAMPLES:], y[_SAMPLES:])
    section = Section(f"A table of {_SAMPLES:,} x {_FEATURES} real numbers, {_VOTES} votes, process time")
    for name, loss in (("scd01", "01"), ("scdce", "ce")):
        seconds, accuracy = _votes(loss, train, test)
        section.figures[f"{name}, {_BATCH:,} samples in a batch, s"] = seconds
        section.figures[f"{name}, accuracy in %"] = 100 * accuracy
        with threads(1):  # more threads of BLAS take more process time, and no less wall time
            epochs, took, reached = _perceptron(accuracy, train, test)
        section.figures[f"MLPClassifier, {epochs} epochs, s"] = took
        section.figures[f"MLPClassifier, {epochs} epochs, accuracy in %"] = 100 * reached
        if reached >= accuracy:
            section.ratios[f"MLPClassifier / {name} on a table, at its accuracy"] = took / seconds
        else:
            section.notes.append(f"MLPClassifier did not reach the accuracy of {name} in {epochs} epochs.")
    return section


def _votes(loss: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Seconds of a fit with small batches, and its test accuracy."""
    model = SCDClassifier(loss=loss, n_votes=_VOTES, n_iter=_ITERATIONS, batch_size=_BATCH, random_state=0)
    model.warm_up(*train)
    seconds = timed(lambda: model.fit(*train), time.process_time)
    return seconds, float(model.score(*test))


def _perceptron(
    accuracy: float, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> tuple[int, float, float]:
    """Epochs until the test accuracy is reached, their seconds, and the accuracy."""
    network, took, reached, epochs = MLPClassifier((20,), random_state=0), 0.0, 0.0, 0
    while reached < accuracy and epochs < _EPOCHS:
        took += timed(lambda: network.partial_fit(*train, classes=[0, 1]), time.process_time)
        reached, epochs = float(network.score(*test)), epochs + 1
    return epochs, took, reached
