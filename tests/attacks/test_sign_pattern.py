"""The pattern attack: between the certified radius and the white-box attack by gradients, on sign networks."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks import SignPattern
from attacks.engine.white_box.sign_search import SignNetworks, SignSearch, cheap_cover
from attacks.whitebox import WhiteBox
from pipeline.config.check import check_access
from pipeline.errors import UserError
from scd import SCDClassifier
from tests.attacks import attack_laws as laws
from tests.pipeline.small_runs import attack_folder, go
from tests.scd.certificates.plane import exact_l2, labels, random_votes

BOX = (-4.0, 5.0)


def attack_plane(seed, votes, units, n=4, **parameters):
    """The attack on random votes over two features, at points of the unit square."""
    made = random_votes(seed, votes, units)
    x = np.random.default_rng(seed).random((n, 2)).astype(np.float32)
    y = labels(made, x.astype(np.float64))
    found = SignPattern(**parameters)(lambda rows: labels(made, rows.astype(float)), x, y, votes=made, clip=BOX)
    return made, x, y, found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), votes=st.integers(1, 7), units=st.integers(1, 4))
def test_its_distance_is_never_below_the_exact_one(seed, votes, units):
    made, x, y, found = attack_plane(seed, votes, units)
    for e in range(len(x)):
        if found.success[e]:
            assert found.l2[e] >= exact_l2(made, x[e].astype(np.float64), y[e]) * (1 - 1e-9)
            assert labels(made, found.adversarials[e : e + 1].astype(np.float64))[0] != y[e]


def test_on_small_ensembles_it_mostly_ends_at_the_exact_distance():
    ratios, reached = [], []
    for seed in range(60):
        made, x, y, found = attack_plane(seed, 3, 3, n=2)
        exact = np.array([exact_l2(made, point.astype(np.float64), label) for point, label in zip(x, y, strict=True)])
        reachable = np.isfinite(exact) & (exact < 3)  # of the box
        reached += found.success[reachable].tolist()
        ratios += (found.l2 / exact)[reachable & found.success & (exact > 1e-3)].tolist()
    assert len(ratios) > 50
    assert np.mean(reached) > 0.8
    assert np.mean(np.array(ratios) < 1.01) > 0.8


def test_one_unit_is_an_exact_projection_inside_the_box():
    """The half-space x + 2y > 2 from (0, 0): 2 / sqrt(5). With x at most 0.1 the closest point is (0.1, 0.95)."""
    vote = {
        "hidden": np.array([[1.0, 2.0]], dtype=np.float32),
        "thresholds": np.array([2.0], dtype=np.float32),
        "output": np.array([1.0]),
        "output_threshold": np.array(0.5),
    }

    def predict(rows):
        return (rows.astype(np.float64) @ [1.0, 2.0] > 2.0).astype(int)

    x = np.zeros((1, 2), dtype=np.float32)
    free = SignPattern()(predict, x, [0], votes=[vote])
    assert free.l2[0] == pytest.approx(2 / np.sqrt(5), rel=2e-4)
    boxed = SignPattern()(predict, x, [0], votes=[vote], clip=([0.0, 0.0], [0.1, 1.0]))
    np.testing.assert_allclose(boxed.adversarials[0], [0.1, 0.95], atol=2e-4)
    assert not SignPattern()(predict, x, [0], votes=[vote], clip=([0.0, 0.0], [0.1, 0.9])).success[0]
    cube = SignPattern(norm="linf")(predict, x, [0], votes=[vote])
    assert cube.linf[0] == pytest.approx(2 / 3, rel=5e-3)
    boxed = SignPattern(norm="linf")(predict, x, [0], votes=[vote], clip=([0.0, 0.0], [0.1, 1.0]))
    np.testing.assert_allclose(boxed.adversarials[0], [0.1, 0.95], atol=5e-3)


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    X, y = load_digits(n_class=2, return_X_y=True)
    X = (X / 16).astype(np.float32)
    model = SCDClassifier(n_votes=9, n_iter=60, hidden_nodes=6, random_state=0, device="cpu").fit(X[:250], y[:250])
    points = np.flatnonzero(model.predict(X[250:]) == y[250:])[:6] + 250
    return model, X[points], y[points]


def test_it_is_between_the_certified_radius_and_the_gradient_attack(digits):
    model, x, y = digits
    found = SignPattern()(model.predict, x, y, votes=model.votes_)
    white = WhiteBox(max_iter=60, refinements=1, restarts=2)(model.predict, x, y, smooth=model.smooth)
    assert found.success.all()
    assert (found.l2 >= model.certified_radius(x, y, steps=40)).all()
    assert (found.l2 <= white.l2 * 1.02).all()
    assert found.l2.mean() < white.l2.mean()


def test_in_l_infinity_it_is_between_the_certified_radius_and_the_gradient_attack(digits):
    model, x, y = digits
    found = SignPattern(norm="linf")(model.predict, x, y, votes=model.votes_)
    white = WhiteBox(norm="linf", max_iter=60, refinements=1, restarts=2)(model.predict, x, y, smooth=model.smooth)
    assert found.success.all()
    assert (model.predict(found.adversarials) != y).all()
    assert (found.linf >= model.certified_radius(x, y, norm="linf", steps=40)).all()
    assert found.linf.mean() < white.linf.mean()
    np.testing.assert_allclose(found.linf, np.abs(found.adversarials.astype(np.float64) - x).max(axis=1), rtol=1e-12)
    for example in range(len(x)):  # the cubes of a run get smaller
        row = (found.trace["index"] == example) & (found.trace["iteration"] > 0)
        assert (np.diff(found.trace["linf"][row][:-4]) < 0).all()
    assert (found.linf < SignPattern()(model.predict, x, y, votes=model.votes_).linf).all()


def test_rounds_and_runs_never_hurt_and_the_record_holds(digits):
    model, x, y = digits
    one, more = (SignPattern(rounds=r, restarts=r + 1)(model.predict, x, y, votes=model.votes_) for r in (0, 2))
    assert (more.l2 <= one.l2).all()
    difference = more.adversarials.astype(np.float64) - x
    np.testing.assert_allclose(more.l2, np.linalg.norm(difference, axis=1), rtol=1e-12)
    assert more.adversarials.min() >= 0
    assert more.adversarials.max() <= 1
    assert set(more.trace["restart"]) == {0, 1, 2}
    assert (more.queries <= 1 + 3 * 4).all()


@pytest.mark.parametrize("after", [3, 5])
def test_killed_it_continues_with_the_next_example(digits, tmp_path, monkeypatch, after):
    model, x, y = digits
    y = np.where(np.arange(len(y)) == 1, 1 - y, y)  # one is misclassified
    state = tmp_path / "state.npz"
    laws.continues_with_the_next_example(
        SignPattern(rounds=1), model.predict, x, y, state, monkeypatch, after, votes=model.votes_
    )
    with pytest.raises(ValueError, match="other parameters, points or labels"):
        SignPattern(rounds=1)(model.predict, x, y, votes=model.votes_[:-2], state=state)


def test_a_point_does_not_depend_on_the_others_and_a_misclassified_one_is_left_alone(digits):
    model, x, y = digits
    whole = SignPattern(rounds=1)(model.predict, x, y, votes=model.votes_)
    part = SignPattern(rounds=1)(model.predict, x[[4, 1]], [y[4], 1 - y[1]], votes=model.votes_, index=[4, 1])
    np.testing.assert_array_equal(part.adversarials[0], whole.adversarials[4])
    assert part.reason.tolist() == ["", "already misclassified"]


def test_the_multipliers_give_the_move_of_a_projection(digits):
    model, x, y = digits
    networks = SignNetworks(model.votes_)
    search = SignSearch(networks, x[0], int(y[0]), -9.0, 9.0)
    found = search.extend(search.none(), np.inf)
    assert (found.left[found.units] <= search.tolerance).all()
    assert not found.multipliers[~found.units].any()
    move = (found.multipliers * search.sign) @ networks.normals
    np.testing.assert_allclose(found.move, move, atol=1e-5)
    held = found.multipliers > 0
    assert found.cost == pytest.approx((found.multipliers * search.distance)[held].sum(), rel=5e-3)
    np.testing.assert_allclose(found.left[held], 0, atol=20 * search.tolerance)


def test_a_cheap_cover_reaches_what_is_needed_and_has_no_unit_too_many():
    rng = np.random.default_rng(0)
    for _ in range(200):
        price, effect = rng.random(6), rng.random(6) + 0.01
        need = rng.random() * 4
        cover = cheap_cover(price, effect, need)
        if effect.sum() < need:
            assert cover is None
            continue
        assert effect[cover].sum() >= need
        assert all(effect[np.setdiff1d(cover, unit)].sum() < need for unit in cover)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("rounds", -1, "an int >= 0"), ("restarts", 0, "an int >= 1"), ("norm", "l1", "one of 'l2', 'linf'")],
)
def test_a_bad_parameter_is_refused(name, value, allowed):
    with pytest.raises(ValueError, match=re.escape(f"The '{name}' parameter of SignPattern must be {allowed}. Got")):
        SignPattern(**{name: value})


def test_votes_of_another_kind_are_refused(digits):
    model, x, y = digits
    for votes in ([], [{"left": np.zeros(3)}], [{**model.votes_[0], "hidden": np.zeros((6, 3))}]):
        with pytest.raises(ValueError, match="'votes' parameter of SignPattern must be sign networks of 64 features"):
            SignPattern()(model.predict, x, y, votes=votes)


def test_a_model_without_sign_votes_is_refused_in_one_sentence_before_any_work():
    from baselines.forest import ForestVotes

    sentence = "attack=sign_pattern needs sign networks (an scd model or bnn) with model.voting=hard. Got "
    for model, got in (
        (ForestVotes(), "ForestVotes with hard"),
        (SCDClassifier(voting="mean"), "SCDClassifier with mean"),
    ):
        with pytest.raises(UserError, match=f"^{re.escape(sentence)}{got} voting.$"):
            check_access(SignPattern(), model, "sign_pattern")


def test_a_run_records_its_distances(compose_config):
    words = ["model.n_iter=30", "model.n_votes=4", "points.rule=correct", "points.count=3", "attack=sign_pattern"]
    config = compose_config(*words)
    examples = pd.read_csv(attack_folder(config, go(config)) / "examples.csv")
    assert (examples["success"] == 1).all()
    assert (examples["l2"] > 0).all()
