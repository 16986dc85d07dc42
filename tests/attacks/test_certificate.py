"""Certified radii beside the attacks: never above a distance that an attack finds."""

import re

import numpy as np
import pandas as pd
import pytest

from attacks import Certificate, HopSkipJump
from attacks.whitebox import WhiteBox
from pipeline.config.check import check, check_access
from pipeline.errors import UserError
from scd import SCDClassifier
from tests.pipeline.small_runs import attack_folder, go


@pytest.fixture(scope="module")
def digits():
    """A tiny ensemble on digits 0 and 1, and test points of which one is given the other label."""
    from sklearn.datasets import load_digits

    X, y = load_digits(n_class=2, return_X_y=True)
    X = (X / 16).astype(np.float32)
    model = SCDClassifier(n_votes=5, n_iter=30, hidden_nodes=4, random_state=0, device="cpu").fit(X[:250], y[:250])
    points = np.flatnonzero(model.predict(X[250:]) == y[250:])[:8] + 250
    labels = y[points].copy()
    labels[0] = 1 - labels[0]
    return model, X[points], labels


def test_no_attack_finds_a_distance_below_the_certified_radius(digits):
    model, x, y = digits
    lower = Certificate(steps=40)(model.predict, x, y, certified_radius=model.certified_radius).extra
    found = [
        HopSkipJump(max_iter=10, restarts=2)(model.predict, x, y),
        WhiteBox(max_iter=60, refinements=1, restarts=2)(model.predict, x, y, smooth=model.smooth),
        HopSkipJump(max_iter=10, restarts=2, norm="linf")(model.predict, x, y),
    ]
    assert (lower["l2_lower"][1:] > 0).all()
    for result in found:
        assert result.success[1:].all()
        assert (lower["l2_lower"] <= result.l2)[1:].all()
        assert (lower["linf_lower"] <= result.linf)[1:].all()
    nearest = np.minimum.reduce([result.l2 for result in found])[1:]
    assert nearest.mean() < 3 * lower["l2_lower"][1:].mean(), "radii that say something"


def test_a_misclassified_point_has_radius_0_and_says_so(digits):
    model, x, y = digits
    result = Certificate(steps=5)(model.predict, x, y, certified_radius=model.certified_radius, index=np.arange(8) + 7)
    assert result.reason.tolist() == ["already misclassified"] + 7 * ["certified, not attacked"]
    assert result.extra["l2_lower"][0] == result.extra["linf_lower"][0] == 0
    assert not result.success.any()
    assert np.isnan(result.l2).all()
    assert result.queries.tolist() == 8 * [1]
    assert result.index.tolist() == list(range(7, 15))


def test_a_radius_in_linf_is_at_least_that_in_l2_by_the_root_of_the_features():
    def certified_radius(x, y, norm, steps, budget_seconds):
        asked.append((steps, budget_seconds))
        return np.array([2.0, 2.0]) if norm == "l2" else np.array([0.1, 3.0])

    asked: list = []
    labels = np.zeros(2, dtype=int)
    result = Certificate(steps=3, budget_seconds=8)(
        lambda rows: np.zeros(len(rows), dtype=int), np.zeros((2, 16)), labels, certified_radius=certified_radius
    )
    np.testing.assert_allclose(result.extra["linf_lower"], [0.5, 3.0])
    assert asked == [(3, 4.0), (3, 4.0)], "each norm has half of the time"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("steps", -1, "an int >= 0"), ("budget_seconds", 0, "a number > 0"), ("steps", 1.5, "an int >= 0")],
)
def test_a_bad_parameter_is_refused(name, value, allowed):
    with pytest.raises(ValueError, match=re.escape(f"The '{name}' parameter of Certificate must be {allowed}. Got")):
        Certificate(**{name: value})


def test_a_model_without_certificates_is_refused_in_one_sentence_before_any_work(compose_config):
    from baselines.lenet import LeNetVotes

    sentence = "attack=certificate: certified radii need sign networks (an scd model or bnn), trees, logistic or mlp; "
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}LeNetVotes has none.$"):
        check_access(Certificate(), LeNetVotes(), "certificate")
    check(compose_config("model=rf", "model.voting=mean", "attack=certificate"))
    check(compose_config("model=scdcebnn", "attack=certificate"))
    with pytest.raises(UserError, match=r"certified radii need model.voting=hard. Got 'mean' instead"):
        check(compose_config("model=scd01", "model.voting=mean", "attack=certificate"))


def test_a_run_records_radii_and_their_statistics_and_prints_them(compose_config, capsys):
    words = ["model.n_iter=30", "model.n_votes=4", "points.rule=first", "points.count=6", "attack=certificate"]
    config = compose_config(*words, "attack.steps=10")
    folder = attack_folder(config, go(config))
    said = capsys.readouterr().out
    examples = pd.read_csv(folder / "examples.csv")
    summary = pd.read_csv(folder / "summary.csv").iloc[0]
    kept = examples[examples["reason"] != "already misclassified"]
    assert len(kept) == 6 - summary["already_wrong"] > 0
    for norm in ("l2", "linf"):
        values = kept[f"{norm}_lower"]
        assert summary[f"{norm}_lower_mean"] == pytest.approx(values.mean())
        assert summary[f"{norm}_lower_median"] == pytest.approx(values.median())
        assert summary[f"{norm}_lower_mean_low"] <= values.mean() <= summary[f"{norm}_lower_mean_high"]
    assert f"mean certified L2            {summary['l2_lower_mean']:.3f}  (95 % interval" in said
    assert "success rate" not in said
    assert "(from the store)" not in said
    go(config)
    assert "(from the store)" in capsys.readouterr().out
