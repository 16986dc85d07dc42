"""Certified radii of votes with logistic units are below every adversarial, and not needlessly small."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from baselines.mlp import MLPVotes
from scd.certificates import SigmoidProof, certify_sigmoid, verify_sigmoid_certificates


def made_up(rng, votes, h, d, scale):
    """Votes whose outputs change their sign within the unit box."""
    found = []
    for _ in range(votes):
        hidden = (scale * rng.standard_normal((h, d))).astype(np.float32)
        thresholds = (hidden @ rng.random(d)).astype(np.float32)
        output = rng.standard_normal(h).astype(np.float32)
        middle = expit(hidden @ np.full(d, 0.5) - thresholds) @ output
        found.append({"hidden": hidden, "thresholds": thresholds, "output": output, "output_threshold": middle})
    return found


def labels_of(votes, X):
    sums = [
        expit(X @ v["hidden"].T.astype(float) - v["thresholds"]) @ v["output"] - v["output_threshold"] for v in votes
    ]
    return (2 * (np.array(sums) > 0).sum(axis=0) > len(votes)).astype(int)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("votes", "h", "scale"), [(1, 1, 2.0), (1, 4, 5.0), (2, 3, 3.0), (5, 6, 8.0), (4, 20, 20.0)])
def test_no_point_within_the_radius_has_another_label(votes, h, scale, norm):
    rng = np.random.default_rng(votes)
    model = made_up(rng, votes, h, 2, scale)
    X = rng.random((20, 2)).astype(np.float32)
    y = labels_of(model, X)
    found = certify_sigmoid(model, X, y, norm)
    assert verify_sigmoid_certificates(model, X, y, found).all()
    radius = found.radius
    around = rng.uniform(-1, 1, (4000, 2))
    edge = np.abs(around).max(axis=1) if norm == "linf" else np.linalg.norm(around, axis=1)
    around *= (rng.random(4000) ** 0.3 / edge)[:, None]
    assert (radius > 0).all()
    for x, label, r in zip(X, y, radius, strict=True):
        assert (labels_of(model, x + r * around) == label).all()
    assert (certify_sigmoid(model, X, 1 - y, norm).radius == 0).all()


def test_the_radius_of_one_unit_is_nearly_the_distance_of_its_hyperplane():
    """A vote of one unit is a half-space; the bound loses where the logistic function bends."""
    normal = np.array([0.6, 0.8])
    X = (np.array([0.5, 0.5]) + np.outer(np.linspace(-0.4, 0.4, 9), normal)).astype(np.float32)
    vote = {
        "hidden": (2 * normal[None]).astype(np.float32),
        "thresholds": np.array([1.4]),
        "output": np.ones(1),
        "output_threshold": 0.5,
    }
    distance = np.abs(X @ normal - 0.7)
    found = certify_sigmoid([vote] * 3, X, (X @ normal > 0.7).astype(int)).radius
    assert (found <= distance + 1e-9).all()
    assert (found >= 0.95 * distance - 1e-6).all()


def test_a_constant_vote_has_a_large_radius_and_a_dead_unit_changes_nothing():
    vote = {"hidden": np.zeros((2, 3)), "thresholds": np.zeros(2), "output": np.ones(2), "output_threshold": 0.25}
    X = np.full((1, 3), 0.5, dtype=np.float32)
    of_one, of_zero = (certify_sigmoid([vote], X, np.array([label])) for label in (1, 0))
    assert of_one.radius[0] > 1e6
    assert verify_sigmoid_certificates([vote], X, np.array([1]), of_one).all()
    assert of_zero.radius[0] == 0
    assert of_zero.proofs == [None]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_larger_radius_and_another_model_label_or_point_are_refused(norm):
    rng = np.random.default_rng(5)
    model = made_up(rng, 7, 5, 3, 6.0)
    X = rng.random((12, 3)).astype(np.float32)
    y = labels_of(model, X)
    found = certify_sigmoid(model, X, y, norm)
    assert verify_sigmoid_certificates(model, X, y, found).all()
    for factor in (1.0001, 2.0, np.inf, np.nan):
        grown = dataclasses.replace(found, radius=found.radius * factor)
        assert not verify_sigmoid_certificates(model, X, y, grown).any()
    smaller = dataclasses.replace(found, radius=found.radius / 2)
    assert verify_sigmoid_certificates(model, X, y, smaller).all()
    assert not verify_sigmoid_certificates(model, X, 1 - y, found).any()
    assert not verify_sigmoid_certificates(model[:4], X, y, found).all()
    assert not verify_sigmoid_certificates(model, X[::-1], y[::-1], found).all()
    for i, x in enumerate(X):  # every output a thousandth nearer to its threshold, or every slope a thousandth steeper
        nearer, steeper = ([dict(vote) for vote in model] for _ in range(2))
        for close, steep in zip(nearer, steeper, strict=True):
            z = x.astype(np.float64) @ close["hidden"].T.astype(np.float64) - close["thresholds"]
            close["output_threshold"] = 0.999 * close["output_threshold"] + 0.001 * (expit(z) @ close["output"])
            steep["hidden"] = 1.001 * steep["hidden"].astype(np.float64)
            steep["thresholds"] = x.astype(np.float64) @ steep["hidden"].T - z
        for other in (nearer, steeper):
            assert labels_of(other, x[None]) == y[i]
            assert not verify_sigmoid_certificates(other, X, y, found)[i]


def test_a_forged_proof_is_refused():
    rng = np.random.default_rng(6)
    model = made_up(rng, 5, 4, 3, 6.0)
    X = rng.random((1, 3)).astype(np.float32)
    y = labels_of(model, X)
    found = certify_sigmoid(model, X, y)
    (proof,) = found.proofs
    assert isinstance(proof, SigmoidProof)
    for forged in (
        None,
        dataclasses.replace(proof, votes=proof.votes[1:], step=proof.step[1:]),
        dataclasses.replace(proof, votes=proof.votes[1:]),
        dataclasses.replace(proof, votes=proof.votes + 5),
        dataclasses.replace(proof, votes=np.repeat(proof.votes[:1], len(proof.votes))),
        dataclasses.replace(proof, step=-proof.step),
        dataclasses.replace(proof, step=proof.step * np.nan),
        dataclasses.replace(proof, step=proof.step / 64),
        dataclasses.replace(proof, step=proof.step * 64),
    ):
        lied = dataclasses.replace(found, proofs=[forged])
        assert not verify_sigmoid_certificates(model, X, y, lied)[0]
    assert verify_sigmoid_certificates(model, X, y, found)[0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_radii_of_a_fitted_mlp_are_below_what_the_white_box_attack_finds():
    from sklearn.datasets import load_digits

    from attacks import WhiteBox

    X, y = load_digits(n_class=2, return_X_y=True)
    X = (X / 16).astype(np.float32)
    model = MLPVotes(n_votes=5, max_iter=100, n_jobs=1, random_state=0).fit(X[:200], y[:200])
    x, labels = X[200:210], model.predict(X[200:210])
    for norm in ("l2", "linf"):
        found = WhiteBox(max_iter=40, refinements=1, restarts=1, norm=norm)(
            model.predict, x, labels, smooth=model.smooth
        )
        lower = model.certified_radius(x, labels, norm)
        upper = found.l2 if norm == "l2" else found.linf
        assert (lower <= upper).all()
        assert (lower > 0.2 * upper).all()
    with pytest.raises(ValueError, match=r"'voting' parameter 'hard' and two classes\. Got 'mean' and 2 classes"):
        model.set_params(voting="mean").certified_radius(x, labels)
