"""The scikit-learn interface: its checks, every option learns, every bad input is named."""

import re
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.utils.estimator_checks import check_estimator

from scd import SCDClassifier

rare = partial(pytest.param, marks=pytest.mark.thorough)  # options that are compiled for themselves
FOUR = [(loss, weights) for loss in ("01", "ce") for weights in ("real", "binary")]
OPTIONS = [
    {},
    rare({"threshold_window": 3}),
    rare({"threshold_window": 20, "init_thresholds": "searched"}),
    {"init_thresholds": "searched"},
    {"init_weights": "uniform"},
    {"nodes_per_iter": 3},
    {"balanced_fraction": 0.0},
    {"balanced_fraction": 1.0},
    {"batch_fraction": 1.0},
    {"batch_fraction": 0.25},
    rare({"batch_size": 50}),
    rare({"rollback": True}),
    {"features_per_step": 64},
    {"features_per_step": 5},
    {"hidden_nodes": 1},
    {"backend": "reference"},
]


@pytest.mark.parametrize(("loss", "weights"), [FOUR[0], *(rare(*four) for four in FOUR[1:])])
def test_passes_the_checks_of_scikit_learn(loss, weights):
    model = SCDClassifier(loss=loss, weights=weights, n_votes=3, n_iter=20)
    draws = "samples are drawn by their place, so the same samples in another order give other votes"
    fails = {"check_sample_weight_equivalence_on_dense_data": draws}
    if (loss, weights) == ("ce", "binary"):
        fails["check_class_weight_classifiers"] = "the balanced accuracy in the score counts both classes equally"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # a check's own, of rows without feature names
        check_estimator(
            model, on_skip=None, expected_failed_checks=fails
        )  # skipped: the array API, which is off by default


@pytest.mark.parametrize(("loss", "weights"), FOUR)
@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_beats_chance(digits, loss, weights, option):
    X, y, X_test, y_test = digits
    n_iter = 20 if "backend" in option else 60
    settings = {"loss": loss, "weights": weights, "n_votes": 5, "n_iter": n_iter, "random_state": 0}
    model = SCDClassifier(**{**settings, "hidden_nodes": 10, **option}).fit(X, y)
    assert model.score(X_test, y_test) > 0.6


@pytest.mark.parametrize(("loss", "weights"), [("01", "real"), ("ce", "binary")])
def test_both_backends_give_the_same_accuracy(digits, loss, weights):
    """Training diverges after a rounding difference; 7 votes of each agree within 10 points on 107 test samples."""
    X, y, X_test, y_test = digits
    settings = {
        "loss": loss,
        "weights": weights,
        "n_votes": 7,
        "n_iter": 50,
        "features_per_step": 16,
        "random_state": 0,
        "device": "cpu",
    }
    scores = [SCDClassifier(backend=b, **settings).fit(X, y).score(X_test, y_test) for b in ("cpu", "reference")]
    assert abs(scores[0] - scores[1]) < 0.1
    assert min(scores) > 0.75


def test_the_unit_of_the_features_does_not_matter(digits):
    """Powers of two scale float32 without rounding: the labels are the same, from the tiny to the huge."""
    X, y, X_test, _ = digits
    X, X_test = X - 0.25, X_test - 0.25  # not bytes
    settings = {"n_votes": 3, "n_iter": 30, "random_state": 0}
    expected = SCDClassifier(**settings).fit(X, y).votes(X_test)
    for scale in (2.0**-100, 2.0**-10, 2.0**10, 2.0**100):
        factor = np.float32(scale)
        np.testing.assert_array_equal(SCDClassifier(**settings).fit(X * factor, y).votes(X_test * factor), expected)


def test_features_without_information_are_no_error(digits):
    X, y = np.zeros((60, 4), dtype=np.float32), np.repeat([0, 1], 30)
    assert SCDClassifier(n_votes=3, n_iter=10, random_state=0).fit(X, y).score(X, y) == 0.5


@pytest.mark.parametrize("labels", [[-1, 1], ["cat", "dog"], [False, True], [3.0, 7.0]])
def test_any_two_labels_are_classes(digits, labels):
    X, y = digits[0], np.array(labels)[digits[1]]
    model = SCDClassifier(n_votes=3, n_iter=20, random_state=0).fit(X, y)
    assert model.classes_.tolist() == labels
    assert model.score(X, y) > 0.6
    plain = SCDClassifier(n_votes=3, n_iter=20, random_state=0).fit(X, digits[1])
    np.testing.assert_array_equal(plain.votes(X), model.votes(X))


BAD_PARAMETERS = {
    "loss": "l2",
    "weights": "ternary",
    "n_votes": 0,
    "n_iter": 1.5,
    "hidden_nodes": 0,
    "batch_fraction": 0.0,
    "batch_size": 1,
    "features_per_step": 0,
    "auto_features": 0,
    "step_hidden": 0.0,
    "step_output": -0.2,
    "threshold_window": 0,
    "init_thresholds": "mean",
    "init_weights": "ones",
    "balanced_fraction": 1.1,
    "rollback": "yes",
    "nodes_per_iter": -1,
    "device": None,
    "backend": "gpu",
    "memory_budget": 0,
    "random_state": "zero",
    "n_iter_no_change": 0,
    "validation_fraction": 1.0,
}


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_a_bad_parameter_is_named_with_what_is_allowed_and_what_was_given(digits, name):
    value = BAD_PARAMETERS[name]
    sentence = f"The '{name}' parameter of SCDClassifier must be .* Got {re.escape(repr(value))} instead."
    with pytest.raises(ValueError, match=sentence):
        SCDClassifier(**{name: value}).fit(*digits[:2])
    with pytest.raises(ValueError, match=sentence):
        SCDClassifier(**{name: value}).check_params()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"batch_fraction": 1.01}, r"'batch_fraction' parameter .* range \(0(\.0)?, 1(\.0)?\]. Got 1.01 instead"),
        (
            {"features_per_step": 65},
            r"'features_per_step' parameter .* range \[1, 64\], the number of features. Got 65",
        ),
        ({"nodes_per_iter": 5, "hidden_nodes": 4}, "'nodes_per_iter' parameter .* at most hidden_nodes = 4. Got 5"),
        ({"memory_budget": "lots"}, "'memory_budget' parameter .* such as '256MiB'. Got 'lots' instead"),
        ({"memory_budget": "2 parsecs"}, "'memory_budget' parameter .* Got '2 parsecs' instead"),
        ({"device": "quantum"}, "'device' parameter must be 'auto', 'cpu' or 'cuda'. Got 'quantum' instead"),
    ],
)
def test_parameters_that_exclude_each_other_are_refused(digits, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        SCDClassifier(n_votes=1, n_iter=1, **settings).fit(*digits[:2])


def test_cuda_without_cuda_says_what_to_do(digits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"torch finds no CUDA device. Got 'cuda' instead. Use device=cpu"):
        SCDClassifier(device="cuda").fit(*digits[:2])
    assert SCDClassifier(device="auto", n_votes=1, n_iter=1).fit(*digits[:2]).score(*digits[:2]) > 0


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([1] * 10, "needs two classes; the data contain one class only: 1."),
        ([0, 1, 2] * 3 + [0], "needs two classes; got 3: 0, 1, 2."),
        ([0] * 9 + [1], "needs at least 2 samples of each class; got 1 of 0, 1."),
        ([0.5, 1.5] * 5, "Unknown label type"),
    ],
)
def test_labels_that_are_not_two_classes_are_refused(labels, sentence):
    X = np.random.default_rng(0).random((10, 3))
    for train in (SCDClassifier().fit, lambda X, y: SCDClassifier().fit_votes(X, y, range(1))):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            train(X, np.array(labels))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_at_fit_and_predict(digits, bad):
    X, y = digits[0].copy(), digits[1]
    X[5, 7] = bad
    word = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(ValueError, match=f"contains {word}"):
        SCDClassifier(n_votes=1, n_iter=1).fit(X, y)
    with pytest.raises(ValueError, match=f"contains {word}"):
        SCDClassifier(n_votes=1, n_iter=1).fit_votes(X, y, range(1))
    with pytest.raises(ValueError, match=f"contains {word}"):
        SCDClassifier(n_votes=1, n_iter=1).fit(*digits[:2]).votes(X)


def test_wrong_shapes_are_refused_at_predict(digits):
    model = SCDClassifier(n_votes=1, n_iter=1).fit(*digits[:2])
    with pytest.raises(ValueError, match="X has 63 features, but SCDClassifier is expecting 64 features"):
        model.predict(digits[2][:, :63])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        model.predict(digits[2][0])


def test_warm_start_refuses_other_classes(digits):
    model = SCDClassifier(n_votes=1, n_iter=1, warm_start=True).fit(*digits[:2])
    with pytest.raises(ValueError, match="warm_start needs the same classes"):
        model.fit(digits[0], digits[1] + 1)


@pytest.mark.parametrize("change", ["features", "hidden_nodes", "loss"])
def test_warm_start_refuses_votes_of_another_kind(digits, change):
    X, y = digits[:2]
    model = SCDClassifier(n_votes=2, n_iter=5, warm_start=True, random_state=0).fit(X, y)
    model.set_params(n_votes=3, **{"hidden_nodes": {"hidden_nodes": 4}, "loss": {"loss": "ce"}}.get(change, {}))
    with pytest.raises(ValueError, match=f"warm_start.*{change} was"):
        model.fit(X[:, :4] if change == "features" else X, y)


def test_warming_up_refuses_what_a_fit_would_refuse_before_it_compiles(digits, monkeypatch):
    monkeypatch.setattr(SCDClassifier, "fit", lambda *_: pytest.fail("compiled"))
    with pytest.raises(ValueError, match="features_per_step"):
        SCDClassifier(features_per_step=65).warm_up(*digits[:2])


@pytest.mark.thorough  # sums of 64 bits are compiled for themselves
def test_a_large_output_step_is_no_error(digits):
    X, y = digits[:2]
    for step in (100.0, 1000.0):
        model = SCDClassifier(loss="ce", n_votes=2, n_iter=30, step_output=step, random_state=0)
        assert model.fit(X, y).score(X, y) > 0.6


@pytest.mark.parametrize("voting", ["hard", "mean"])
def test_the_decision_function_is_positive_where_the_second_class_is_predicted(digits, voting):
    X, y, X_test, _ = digits
    model = SCDClassifier(n_votes=4, n_iter=20, random_state=0, voting=voting).fit(X, y)  # with ties
    decision = model.decision_function(X_test)
    assert decision.shape == (len(X_test),)
    assert decision.min() >= -1
    assert decision.max() <= 1
    np.testing.assert_array_equal(decision > 0, model.predict(X_test) == 1)
    np.testing.assert_allclose(decision, model.predict_proba(X_test) @ [-1, 1], atol=1e-12)


def test_sparse_matrices_are_refused_by_name_at_fit_and_predict(digits):
    X, y, X_test, _ = digits
    sentence = "Sparse data was passed for X, but dense data is required"
    with pytest.raises(TypeError, match=sentence):
        SCDClassifier().fit(csr_array(X), y)
    model = SCDClassifier(n_votes=1, n_iter=5, random_state=0).fit(X, y)
    for method in (model.predict, model.decision_function):
        with pytest.raises(TypeError, match=sentence):
            method(csr_array(X_test))
