"""The binarised network votes: Keras's own training and labels, in processes of their own."""

import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from baselines.bnn import BNNVotes
from baselines.workers.bnn_vote import EPSILON, PACKAGES, Settings, fold, require_packages, train_and_predict
from baselines.workers.pool import train_in_parallel
from pipeline.config.build import build_model
from pipeline.config.check import resolve
from pipeline.config.resolvers import register_resolvers
from scd.engine.forward import StackedVotes

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"hidden_nodes": 4, "epochs": 8, "batch_size": 32, "learning_rate": 0.01}
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "larq"}
ABSENT = any(find_spec(name) is None for name in PACKAGES)
absent = pytest.mark.skipif(ABSENT, reason="bnn needs an extra: pip install '.[bnn]'")


def needs_tensorflow(test):
    """Several seconds to import, in every process that trains."""
    return pytest.mark.thorough(absent(test))


def small(**settings):
    return BNNVotes(**{"n_jobs": 1, "random_state": 3, **SMALL, **settings})


def in_workers(function, votes=range(1)):
    """``function(vote)`` for each of `votes`, in the processes that train the votes."""
    return train_in_parallel(function, votes, 1, "processes", outside=True)


def assert_same_votes(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        assert all(a[k].dtype == b[k].dtype and a[k].tobytes() == b[k].tobytes() for k in a)


def _integer_rows(_):
    """Rows of small integers: all sums are exact and many are equal."""
    rng = np.random.default_rng(0)
    X = rng.integers(-2, 3, (1200, 64)).astype(np.float32)
    y = (X[:, :8].sum(axis=1) + rng.standard_normal(1200) > 0).astype(np.int64)
    return X[:200], y[:200], X[200:], y[200:]


@needs_tensorflow
@pytest.mark.parametrize("quantizer", ["approx_sign", "ste_sign", "swish_sign"])
@pytest.mark.parametrize("rows", [lambda digits: digits, _integer_rows], ids=["digits", "integers"])
def test_labels_and_probabilities_are_those_of_keras_on_every_sample(digits, rows, quantizer):
    X, y, X_test, _ = rows(digits)
    loaded = TENSORFLOW & set(sys.modules)
    model = small(n_votes=2, input_quantizer=quantizer).fit(X, y)
    ask = partial(train_and_predict, model._settings(), X, y, X_test, 3)
    votes, softmax = zip(*in_workers(ask, range(2)), strict=True)
    assert_same_votes(model.votes_, list(votes))
    softmax = np.stack(softmax, axis=1)
    if rows is _integer_rows:
        assert (softmax[..., 0] == softmax[..., 1]).any(), "there are ties"
    np.testing.assert_array_equal(model.votes(X_test), softmax.argmax(axis=2))  # a tie is class 0
    np.testing.assert_allclose(model.vote_probabilities(X_test), softmax[..., 1], rtol=1e-5)
    assert TENSORFLOW & set(sys.modules) == loaded


@needs_tensorflow
def test_training_is_that_of_keras_fit(digits):
    """The same weights as ``Model.fit`` without shuffling; the last batch of an epoch has 26 rows."""
    X, y = digits[:2]
    settings = Settings(**SMALL, input_quantizer="approx_sign")

    def both(vote):
        from baselines.workers.bnn_vote import Trainer, tensorflow, trainer_for

        tf, _ = tensorflow()
        trainer, other = trainer_for(X.shape[1], settings), Trainer(X.shape[1], settings).model
        trainer.restart(np.random.default_rng(0))
        start = trainer.model.get_weights()
        other.set_weights(start)
        trainer.train(X, y, [np.arange(len(X))] * 3)
        tf.random.set_seed(0)  # Keras asks for one though it does not shuffle
        other.fit(X, y, batch_size=32, epochs=3, shuffle=False, verbose=0)
        return start, trainer.model.get_weights(), other.get_weights()

    start, ours, theirs = in_workers(both)[0]
    assert [w.shape for w in ours] == [(64, 4), (4,), (4,), (4,), (4,), (4, 2)]
    assert all((w != s).any() for w, s in zip(ours, start, strict=True)), "all of them moved"
    assert max(np.abs(ours[0]).max(), np.abs(ours[-1]).max()) <= 1
    for w, v in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(w, v, rtol=1e-5, atol=1e-6)


def _weights(rng, features=64, hidden=4):
    """Of a Keras network, with batch normalisation's numbers as training leaves them."""
    kernel, output = rng.uniform(-1, 1, (features, hidden)), rng.uniform(-1, 1, (hidden, 2))
    bias, beta, mean = rng.standard_normal((3, hidden))
    variance = rng.uniform(0.1, 50, hidden)
    return [w.astype(np.float32) for w in (kernel, bias, beta, 10 * mean, variance, output)]


@needs_tensorflow
def test_a_sum_on_the_threshold_turns_the_unit_on_as_in_keras():
    """Integer means and no shift: the normalised sum is exactly 0 on the threshold, and Larq's sign of 0 is +1."""
    rng = np.random.default_rng(1)
    X = rng.integers(-1, 2, (500, 64)).astype(np.float32)
    kernel, _, _, _, variance, output = _weights(rng)
    kernel[:3], output[:2] = 0.0, 0.0  # Larq's sign again
    zero = np.zeros(4, dtype=np.float32)
    weights = [kernel, zero + 1, zero, np.arange(4, dtype=np.float32), variance, output]

    def keras(vote):
        from baselines.workers.bnn_vote import trainer_for

        model = trainer_for(64, Settings(**SMALL, input_quantizer="approx_sign")).model
        model.set_weights(weights)
        return model.predict(X, verbose=0)

    vote = fold(weights)
    sums = X @ vote["hidden"].T
    assert (sums + 1 == np.arange(4)).any(axis=0).all(), "every unit has rows on its threshold"
    stacked = StackedVotes(**{name: values[None] for name, values in vote.items()})
    np.testing.assert_array_equal(stacked.labels(X)[:, 0], in_workers(keras)[0].argmax(axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_a_folded_unit_is_on_from_the_exact_threshold_upwards(seed):
    """Every float32 near it is on the side of the sign of the normalised sum, computed in extended precision."""
    _, bias, beta, mean, variance, _ = weights = _weights(np.random.default_rng(seed))
    threshold = fold(weights)["thresholds"]
    bias, beta, mean, variance = (w.astype(np.longdouble) for w in (bias, beta, mean, variance))
    sums = threshold
    for _ in range(3):
        sums = np.nextafter(sums, np.float32(-np.inf))
    for _ in range(7):
        normalised = (sums + bias - mean) / np.sqrt(variance + EPSILON) + beta
        np.testing.assert_array_equal(sums > threshold, normalised >= 0)
        sums = np.nextafter(sums, np.float32(np.inf))


def test_weights_that_are_not_finite_are_one_sentence():
    weights = _weights(np.random.default_rng(0))
    weights[3][2] = np.nan
    with pytest.raises(ValueError, match="The weights of vote 7 became NaN or infinite; bring the features to"):
        fold(weights, 7)


@needs_tensorflow
def test_a_vote_does_not_depend_on_jobs_or_on_what_its_process_did_before(digits):
    X, y = digits[:2]
    whole = small(n_votes=6).fit(X, y).votes_
    assert len({vote["hidden"].tobytes() for vote in whole}) == 6
    small(n_votes=2, input_quantizer="ste_sign", random_state=0).fit(X, y)
    assert_same_votes(whole[4:5], small().fit_votes(X, y, range(4, 5)))
    assert_same_votes(whole, small(n_votes=6, n_jobs=2).fit(X, y).votes_)


@needs_tensorflow
@pytest.mark.slow
def test_a_fresh_process_is_silent_and_trains_the_same_vote(digits, tmp_path):
    X, y = digits[:2]
    np.savez(tmp_path / "data.npz", X=X, y=y)
    program = (
        "import sys, numpy as np; from baselines.bnn import BNNVotes\n"
        "data = np.load(sys.argv[1])\n"
        f"model = BNNVotes(n_votes=1, n_jobs=1, random_state=3, **{SMALL}).fit(data['X'], data['y'])\n"
        f"assert not {TENSORFLOW} & set(sys.modules)\n"
        "model.save(sys.argv[2])\n"
    )
    words = [sys.executable, "-c", program, tmp_path / "data.npz", tmp_path / "votes.npz"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert_same_votes(BNNVotes.load(tmp_path / "votes.npz").votes_, small().fit_votes(X, y, range(1)))


@pytest.mark.parametrize("name", ["tensorflow", "larq", "tf_keras"])
def test_without_its_packages_it_predicts_and_says_what_to_install(digits, tmp_path, monkeypatch, name):
    X, y = digits[:2]
    model = small(n_votes=1).use_votes([fold(_weights(np.random.default_rng(0)))], n_features=64)
    model.save(tmp_path / "votes.npz")
    monkeypatch.setitem(sys.modules, name, None)
    np.testing.assert_array_equal(BNNVotes.load(tmp_path / "votes.npz").predict(X), model.predict(X))
    model.check_params().warm_up(X, y)
    monkeypatch.setattr("baselines.workers.bnn_vote.PYTHON", (3, 12))
    for fit in (lambda: small().fit(X, y), lambda: small().fit_votes(X, y, range(1))):
        with pytest.raises(ImportError, match=rf"{name} .*not installed; run: pip install '\.\[bnn\]'$"):
            fit()


def test_on_a_python_without_larq_it_says_which_python_has_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "larq", None)
    monkeypatch.setattr("baselines.workers.bnn_vote.PYTHON", (3, 13))
    with pytest.raises(ImportError, match=r"larq is not installed; .* Python 3\.11 or 3\.12 only"):
        require_packages()


@needs_tensorflow
def test_digits_are_learned_by_the_majority(digits):
    X, y, X_test, y_test = digits
    model = small(n_votes=9).fit(X, y)
    assert model.score(X_test, y_test) > 0.85
    assert model.set_params(voting="mean").score(X_test, y_test) > 0.85


@needs_tensorflow
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # a check's own, of rows without feature names
def test_passes_all_checks_of_scikit_learn():
    check_estimator(BNNVotes(n_votes=3, epochs=60, batch_size=16, n_jobs=1), on_skip=None)


QUICK = {"check_estimators_nan_inf", "check_classifiers_one_label", "check_fit_idempotent"}


@needs_tensorflow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_passes_checks_of_scikit_learn():
    done = set()
    for estimator, check in estimator_checks_generator(small(n_votes=1)):
        if check.func.__name__ in QUICK:
            check(estimator)
            done.add(check.func.__name__)
    assert done == QUICK


def _config(*overrides):
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=["model=bnn", "device=cpu", *overrides]))


def test_its_config_is_the_papers_text():
    config = _config("dataset=cifar10")
    assert build_model(config).get_params() == BNNVotes(random_state=0, device="cpu").get_params()
    keys = set(config["model"]) - {"_target_", "name", "use_votes"}
    assert keys == set(BNNVotes().get_params()) - {"device", "random_state", "verbose", "warm_start"}
    assert build_model(_config("dataset.training.bnn_votes=10")).n_votes == 10
    smoke = build_model(_config("scale=smoke"))
    assert (smoke.n_votes, smoke.epochs) == (3, 20)


def test_its_votes_are_certified_and_attacked_as_sign_networks(digits):
    """Folded votes need no Larq: a unit is a hyperplane of weights -1 and +1."""
    from attacks import SignPattern

    X, _, X_test, _ = digits
    rng, votes = np.random.default_rng(0), []
    for _ in range(5):
        hidden = rng.choice(np.array([-1, 1], dtype=np.int8), (4, 64))
        thresholds = np.median(X @ hidden.T, axis=0).astype(np.float32)
        output = rng.choice(np.array([-2, 2], dtype=np.int8), 4)
        votes.append({"hidden": hidden, "thresholds": thresholds, "output": output, "output_threshold": np.int64(0)})
    model = BNNVotes(n_votes=5).use_votes(votes, (0, 1), 64)
    labels = model.predict(X_test)
    lower = model.certified_radius(X_test[:20], labels[:20])
    found = SignPattern(rounds=1)(model.predict, X_test[:20], labels[:20], votes=model.sign_votes())
    assert found.success.any()
    assert (lower > 0).all()
    assert (lower[found.success] <= found.l2[found.success]).all()
    assert len(np.unique(labels)) == 2
