"""What every baseline keeps: scikit-learn's checks, vote independence, growth, files, bad input."""

import math
import re

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from baselines.forest import ForestVotes
from baselines.lenet import LeNetVotes
from baselines.mlp import MLPVotes

BASELINES = {"mlp": (MLPVotes, {"max_iter": 10, "hidden_nodes": 4}), "forest": (ForestVotes, {"max_depth": 4}),
          "lenet": (LeNetVotes, {"epochs": 1, "feature_shape": (1, 8, 8), "votes_at_once": 1})}  # fmt: skip
CHECKED = {"mlp": MLPVotes(n_votes=1, max_iter=100, n_jobs=1), "forest": ForestVotes(n_votes=5, n_jobs=1)}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(params=BASELINES)
def baseline(request):
    """Makes the unfitted ensemble."""
    cls, small = BASELINES[request.param]
    known = cls().get_params()

    def make(**settings):
        settings = {"n_jobs": 1, "random_state": 7, **small, **settings}
        return cls(**{name: value for name, value in settings.items() if name in known})

    return make


def assert_same_votes(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        assert all(a[k].dtype == b[k].dtype and a[k].tobytes() == b[k].tobytes() for k in a)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::UserWarning")  # a check's own, of rows without feature names
@pytest.mark.parametrize("name", CHECKED)
def test_passes_the_checks_of_scikit_learn(name):
    check_estimator(CHECKED[name], on_skip=None)  # skipped: the array API, which is off by default


@pytest.mark.thorough
def test_votes_do_not_depend_on_the_others_or_on_jobs(baseline, digits):
    X, y = digits[:2]
    whole = baseline(n_votes=10).fit(X, y).votes_
    assert_same_votes(whole, baseline(n_votes=10, n_jobs=2).fit(X, y).votes_)
    model = baseline()
    assert_same_votes(whole[:2], [model.fit_votes(X, y, range(v, v + 1))[0] for v in range(2)])
    assert_same_votes(whole, model.fit_votes(X, y, range(5)) + model.fit_votes(X, y, range(5, 10)))
    assert len({b"".join(a.tobytes() for a in vote.values()) for vote in whole}) == 10
    assert b"".join(a.tobytes() for a in baseline(n_votes=1, random_state=8).fit(X, y).votes_[0].values()) != b"".join(
        a.tobytes() for a in whole[0].values()
    )


def test_five_votes_grown_to_ten_equal_ten(baseline, digits):
    X, y, X_test, _ = digits
    grown = baseline(n_votes=5, warm_start=True).fit(X, y)
    kept = list(grown.votes_)
    grown.set_params(n_votes=10).fit(X, y)
    assert all(a is b for a, b in zip(kept, grown.votes_, strict=False))
    whole = baseline(n_votes=10).fit(X, y)
    assert_same_votes(grown.votes_, whole.votes_)
    np.testing.assert_array_equal(grown.votes(X_test), whole.votes(X_test))


def test_subset_is_the_first_votes_and_predicts_their_majority(baseline, digits):
    X, y, X_test, _ = digits
    model = baseline(n_votes=6).fit(X, y)
    part = model.subset(4)
    votes = model.votes(X_test)
    assert votes.shape == (len(X_test), 6)
    np.testing.assert_array_equal(part.votes(X_test), votes[:, :4])
    np.testing.assert_array_equal(part.predict(X_test), (votes[:, :4].mean(1) > 0.5).astype(int))
    np.testing.assert_array_equal(part.predict_proba(X_test)[:, 1], votes[:, :4].mean(1))


def test_a_loaded_ensemble_predicts_the_same_without_pickle(baseline, digits, tmp_path):
    X, y, X_test, _ = digits
    model = baseline(n_votes=3).fit(X, np.array(["cat", "dog"])[y])
    model.save(tmp_path / "votes.npz")
    with np.load(tmp_path / "votes.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    loaded = type(model).load(tmp_path / "votes.npz")
    assert loaded.get_params() == model.get_params()
    assert_same_votes(loaded.votes_, model.votes_)
    np.testing.assert_array_equal(loaded.predict(X_test), model.predict(X_test))


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_the_votes(baseline, digits, jobs):
    calls = []
    baseline(n_jobs=jobs).fit_votes(*digits[:2], range(3, 6), lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(1, 3), (2, 3), (3, 3)]
    assert all(math.isnan(call[2]) for call in calls)


BAD = {
    "mlp": {
        "n_votes": 0,
        "hidden_nodes": 2.5,
        "learning_rate": 0.0,
        "momentum": 1.5,
        "alpha": -1e-4,
        "max_iter": 0,
        "tol": -1.0,
        "batch_size": "all",
        "n_jobs": 0,
        "device": None,
    },
    "forest": {
        "n_votes": 0,
        "min_samples_leaf": 0,
        "max_features": "auto",
        "max_depth": 0,
        "bootstrap": "yes",
        "n_jobs": 0,
        "random_state": -1,
    },
}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in BAD for key in BAD[name]])
def test_a_bad_parameter_is_named_with_what_was_given(digits, name, key):
    cls, value = BASELINES[name][0], BAD[name][key]
    sentence = f"The '{key}' parameter of {cls.__name__} must be .* Got {re.escape(repr(value))} instead."
    with pytest.raises(ValueError, match=sentence):
        cls(**{key: value}).fit(*digits[:2])


def test_bad_data_are_refused_in_one_sentence(baseline, digits):
    X, y = digits[:2]
    spoiled = X.copy()
    spoiled[0, 0] = np.nan
    for rows, labels, sentence in (
        (spoiled, y, "contains NaN"),
        (X, np.zeros_like(y), "the data contain one class only: 0"),
        (X, np.arange(len(y)) % 3, "needs two classes; got 3"),
    ):
        if "got 3" in sentence and baseline().multiclass:
            continue
        with pytest.raises(ValueError, match=sentence):
            baseline(n_votes=1).fit(rows, labels)
    with pytest.raises(ValueError, match="X has 63 features"):
        baseline(n_votes=1).fit(X, y).votes(X[:, :63])


def test_the_mean_of_probabilities_is_an_option_of_the_same_votes(baseline, digits):
    X, y, X_test, _ = digits
    hard, mean = (baseline(n_votes=4, voting=voting).fit(X, y) for voting in ("hard", "mean"))
    assert_same_votes(hard.votes_, mean.votes_)
    each = mean.vote_probabilities(X_test)
    assert each.shape == (len(X_test), 4)
    assert ((each >= 0) & (each <= 1)).all()
    clear = np.abs(each - 0.5) > 1e-5  # at a half, rounding decides
    np.testing.assert_array_equal((each > 0.5)[clear], mean.votes(X_test)[clear])
    np.testing.assert_allclose(mean.predict_proba(X_test)[:, 1], each.mean(axis=1))
    np.testing.assert_array_equal(mean.predict(X_test), each.mean(axis=1) > 0.5)
    np.testing.assert_array_equal(hard.predict_proba(X_test)[:, 1], hard.votes(X_test).mean(axis=1))
    with pytest.raises(ValueError, match=r"The 'voting' parameter of .* Got 'soft' instead."):
        baseline(voting="soft").fit(X, y)


def test_a_member_labels_only_its_own_inputs(baseline, digits):
    X, y, X_test, _ = digits
    model = baseline(n_votes=3).fit(X, np.array(["cat", "dog"])[y])
    members = np.arange(len(X_test)) % 3
    expected = np.array(["cat", "dog"])[model.votes(X_test)[np.arange(len(X_test)), members]]
    np.testing.assert_array_equal(model.member_labels(X_test, members), expected)
    with pytest.raises(ValueError, match=r"one vote number in 0\.\.2 for each of the 2 inputs"):
        model.member_labels(X_test[:2], [0, 3])
