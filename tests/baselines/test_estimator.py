"""Any scikit-learn-compatible class: votes by seed or bootstrap, stored without code."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from baselines.estimator import EstimatorVotes, build
from scd.storage import load_votes, save_votes

PIPELINE = {
    "_target_": "sklearn.pipeline.Pipeline",
    "steps": [
        ["scale", {"_target_": "sklearn.preprocessing.StandardScaler"}],
        ["model", {"_target_": "sklearn.svm.SVC", "C": 10}],
    ],
}


@pytest.fixture
def pickled():
    """Ensembles stored by pickle: skops need not be installed."""
    return lambda estimator, **more: EstimatorVotes(estimator, trust_pickle=True, random_state=3, **more)


def test_one_vote_is_the_classifier_itself(pickled, digits):
    X, y, X_test, _ = digits
    made = pickled({"_target_": "sklearn.svm.SVC", "C": 10}).fit(X, y)
    np.testing.assert_array_equal(made.predict(X_test), SVC(C=10).fit(X, y).predict(X_test))
    np.testing.assert_array_equal(pickled(SVC(C=10)).fit(X, y).predict(X_test), made.predict(X_test))


def test_a_pipeline_is_built_from_nested_targets(pickled, digits):
    X, y, X_test, y_test = digits
    steps = build(PIPELINE).steps
    assert steps[1][0] == "model"
    assert steps[1][1].C == 10
    assert pickled(PIPELINE).fit(X, y).score(X_test, y_test) > 0.9


def test_votes_depend_on_their_number_and_the_seed_alone(pickled, digits):
    X, y, X_test, _ = digits
    forest = {"_target_": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 1}
    whole = pickled(forest, n_votes=4, n_jobs=2).fit(X, y)
    grown = pickled(forest, n_votes=2, warm_start=True).fit(X, y).set_params(n_votes=4).fit(X, y)
    np.testing.assert_array_equal(whole.votes(X_test), grown.votes(X_test))
    assert len({column.tobytes() for column in whole.votes(X_test).T}) > 1
    np.testing.assert_array_equal(whole.subset(2).votes(X_test), whole.votes(X_test)[:, :2])
    assert (whole.votes(X_test) != EstimatorVotes(forest, trust_pickle=True, n_votes=4).fit(X, y).votes(X_test)).any()


def test_classes_without_random_state_are_bootstrapped_or_refused(pickled, digits):
    X, y, X_test, _ = digits
    with pytest.raises(ValueError, match=r"KNeighborsClassifier has no random_state.*bootstrap=true.*Got 3"):
        pickled(KNeighborsClassifier(), n_votes=3).fit(X, y)
    votes = pickled(KNeighborsClassifier(1), n_votes=3, bootstrap=True).fit(X, y).votes(X_test)
    assert len({column.tobytes() for column in votes.T}) > 1


def test_votes_that_are_all_equal_are_reported(pickled, digits):
    with pytest.warns(UserWarning, match="All votes are equal"):
        pickled(LogisticRegression(max_iter=500), n_votes=2).fit(*digits[:2])


def test_probabilities_are_those_of_the_members(pickled, digits):
    X, y, X_test, _ = digits
    made = pickled(RandomForestClassifier(5), n_votes=2, voting="mean").fit(X, y)
    assert set(np.unique(made.vote_probabilities(X_test) * 5).round(6)) <= set(range(6))
    without = pickled(SVC()).fit(X, y)
    np.testing.assert_array_equal(without.vote_probabilities(X_test)[:, 0], without.predict(X_test))


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (None, r"must be a classifier: give its class, such as model\.estimator\._target_=sklearn\.svm\.SVC"),
        ({"_target_": "sklearn.svm.SCV"}, r"model\.estimator\._target_=sklearn\.svm\.SCV cannot be imported"),
        ({"_target_": "os.system", "command": "true"}, r"must be a class with fit.*Got 'os\.system'"),
        ({"_target_": "builtins.dict"}, r"must be a class with fit.*Got 'builtins\.dict'"),
        ({"_target_": "sklearn.svm.SVC", "D": 1}, r"SVC cannot be built: .*unexpected keyword argument 'D'"),
        ({"_target_": "sklearn.preprocessing.StandardScaler"}, "with fit, predict and get_params. Got StandardScaler"),
        ({}, "Got dict"),
        ({"_target_": None}, "must be a class with fit, such as sklearn.svm.SVC. Got None"),
    ],
)
def test_what_is_no_classifier_is_refused_before_anything_is_called(estimator, sentence):
    with pytest.raises(ValueError, match=sentence):
        EstimatorVotes(estimator, trust_pickle=True).check_params()


class Escaped:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_stored_pickle_is_not_loaded_unless_it_is_trusted(tmp_path):
    import pickle

    evil = {"pickle": np.frombuffer(pickle.dumps(Escaped(tmp_path / "written")), dtype=np.uint8)}
    save_votes(tmp_path / "votes.npz", [evil], {})
    votes, _ = load_votes(tmp_path / "votes.npz")
    with pytest.raises(ValueError, match=r"it is a pickle, which model\.trust_pickle=true loads"):
        EstimatorVotes(SVC()).use_votes(votes, n_features=64)
    assert not (tmp_path / "written").exists()


def test_without_skops_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ValueError, match=r"needs skops; run: pip install skops .*model\.trust_pickle=true"):
        EstimatorVotes(SVC()).check_params()


@pytest.mark.parametrize(
    "target",
    [
        "sklearn.svm.SVC",
        "sklearn.ensemble.RandomForestClassifier",
        "sklearn.ensemble.HistGradientBoostingClassifier",
        "xgboost.XGBClassifier",
        "lightgbm.LGBMClassifier",
    ],
)
@pytest.mark.filterwarnings("ignore")  # of the other libraries
def test_skops_stores_votes_that_predict_the_same(digits, tmp_path, target):
    pytest.importorskip("skops")
    pytest.importorskip(target.split(".")[0])
    X, y, X_test, y_test = digits
    made = EstimatorVotes({"_target_": target}, n_votes=1, random_state=0).fit(X, y)
    assert made.score(X_test, y_test) > 0.85
    save_votes(tmp_path / "votes.npz", made.votes_, {})
    again = EstimatorVotes({"_target_": target}).use_votes(load_votes(tmp_path / "votes.npz")[0], n_features=X.shape[1])
    np.testing.assert_array_equal(again.vote_probabilities(X_test), made.vote_probabilities(X_test))


def test_skops_loads_no_type_of_a_package_that_is_not_named(digits):
    pytest.importorskip("skops")
    pytest.importorskip("xgboost")
    X, y = digits[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        votes = EstimatorVotes({"_target_": "xgboost.XGBClassifier", "n_estimators": 2}).fit(X, y).votes_
    with pytest.raises(ValueError, match=r"types that skops does not trust: xgboost\.core\.Booster"):
        EstimatorVotes({"_target_": "sklearn.svm.SVC"}).use_votes(votes, n_features=X.shape[1])


def test_a_run_fits_attacks_and_reads_the_store(compose_config):
    from pipeline.experiment import run

    words = [
        "model=estimator",
        "model.estimator._target_=sklearn.svm.SVC",
        "model.name=svc",
        "model.trust_pickle=true",
        "scale=smoke",
    ]
    config = compose_config(*words, "+model.estimator.C=10")
    record = run(config)
    assert record["attack"].startswith("digits-svc-hsj-")
    assert run(config) == record
    assert run(compose_config(*words, "+model.estimator.C=1", "attack=none"))["fit"] != record["fit"]
    fit = Path(config["paths"]["outputs"]) / "fits" / record["fit"]
    assert sorted(path.suffix for path in fit.glob("votes_*")) == [".json", ".npz"]
