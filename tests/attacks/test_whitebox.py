"""The white-box attack against distances known exactly, and its laws."""

import re

import numpy as np
import pytest
import torch

import tests.attacks.attack_laws as laws
from attacks import HopSkipJump
from attacks.oracle import GradientOracle
from attacks.whitebox import WhiteBox, plan_iterations
from scd import SCDClassifier
from scd.engine.forward import StackedVotes
from scd.engine.smooth import smooth_share
from tests.attacks.half_space import HalfSpace
from tests.attacks.sign_network_2d import SignNetwork2D, points_in

QUICK = {"max_iter": 40, "refinements": 1, "restarts": 2}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def as_votes(weights, thresholds, output, output_threshold):
    """One vote of sign units as the smooth function of an attack."""
    votes = StackedVotes(weights[None], thresholds[None], output[None], np.array([output_threshold]))
    return lambda x, beta, gamma: smooth_share(votes, x, beta, gamma)


def half_space_smooth(model, kind):
    """The half-space as a sign network of one unit, or as a logistic model, which ignores beta."""
    if kind == "sign network":
        return as_votes(model.normal[None], np.array([model.bound]), np.ones(1), 0.5)
    normal, bound = torch.from_numpy(model.normal).float(), model.bound
    return lambda x, beta, gamma: torch.sigmoid(gamma * (x @ normal - bound))


def ball_smooth(x, beta, gamma):
    """Smooth approximation of `laws.outside_ball`."""
    return torch.sigmoid(beta * (((x - 0.5) ** 2).sum(1) - 0.3))


class With:
    """The attack with its smooth function already given, so that it is called like an attack on labels."""

    def __init__(self, attack, smooth=ball_smooth):
        self.attack, self.smooth = attack, smooth

    def __call__(self, labels, x, y, **more):
        return self.attack(labels, x, y, smooth=self.smooth, **more)


@pytest.mark.parametrize("kind", ["sign network", "logistic"])
@pytest.mark.parametrize(("d", "distance", "label"), [(2, 0.2, 0), (30, 0.05, 0), (30, 0.05, 1), (500, 1.5, 0)])
def test_the_distance_of_a_half_space_is_found(kind, d, distance, label):
    model = HalfSpace(d, distance, seed=d)
    if label:  # as far on the other side
        model.x += np.float32(2 * distance) * model.normal.astype(np.float32)
    result = WhiteBox(**QUICK)(model, model.x, [label], smooth=half_space_smooth(model, kind))
    assert result.l2[0] == pytest.approx(np.abs(model.beyond(model.x))[0], rel=0.02)
    assert model(result.adversarials) != label
    assert np.abs(model.beyond(model.x))[0] <= result.l2[0]


@pytest.mark.parametrize("kind", ["sign network", "logistic"])
@pytest.mark.parametrize(("d", "distance"), [(2, 0.2), (30, 0.05), (500, 1.5)])
def test_the_linf_distance_of_a_half_space_is_found(kind, d, distance):
    model = HalfSpace(d, distance, seed=d)
    result = WhiteBox(**QUICK, norm="linf")(model, model.x, [0], smooth=half_space_smooth(model, kind))
    true = np.abs(model.beyond(model.x))[0] / np.abs(model.normal).sum()
    assert (1 - 1e-6) * true <= result.linf[0] <= 1.02 * true
    assert model(result.adversarials) != 0


def test_the_linf_distance_is_between_the_certified_one_and_that_of_other_attacks():
    rng = np.random.default_rng(0)
    X = rng.random((300, 8), dtype=np.float32)
    model = SCDClassifier(n_votes=5, n_iter=100, hidden_nodes=4, random_state=0).fit(X, X[:, 0] + X[:, 1] > 1)
    x, y = X[:10], model.predict(X[:10])
    attack = WhiteBox(**QUICK, norm="linf", starts=("original", "noise"))
    found = attack(model.predict, x, y, smooth=model.smooth)
    assert found.success.all()
    assert (model.certified_radius(x, y, "linf") <= found.linf).all()
    in_l2 = WhiteBox(**QUICK)(model.predict, x, y, smooth=model.smooth)
    assert found.linf.mean() < 0.95 * in_l2.linf.mean()


def test_the_distance_inside_the_box_is_found_where_the_nearest_point_lies_outside():
    model = HalfSpace(40, 1.5, seed=3, spread=0.5)  # the original lies anywhere in the box
    x, low, high = model.x[0].astype(np.float64), 0.0, 50.0

    def moved(by):  # the nearest point of a half-space in a box is of this form
        return np.clip(x + by * model.normal, 0, 1)

    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if moved(middle) @ model.normal <= model.bound else (low, middle)
    true = np.linalg.norm(moved(high) - x)
    assert true > 1.1 * model.distance
    result = WhiteBox(**QUICK)(model, model.x, [0], smooth=half_space_smooth(model, "sign network"))
    assert (1 - 1e-9) * true <= result.l2[0] <= 1.02 * true


def test_distances_of_a_sign_network_in_the_plane():
    found, true = [], []
    for seed in range(8):
        network = SignNetwork2D(8, seed)
        x, y = points_in(network, 6, seed)
        offset = network.offset + network.output.sum()  # of units that are 0 and 1, not -1 and 1
        smooth = as_votes(network.weights, network.thresholds, 2 * network.output, offset)
        result = WhiteBox(max_iter=60, refinements=1, restarts=6)(network, x, y, smooth=smooth)
        found += result.l2.tolist()
        true += [network.distance(row) for row in x]
    ratio = np.array(found) / np.array(true)
    assert ratio.min() >= 1
    # a small cell of the other label may be nearest, and the smooth network does not show it
    assert np.mean(ratio <= 1.01) >= 0.7
    assert np.mean(ratio <= 1.1) >= 0.85


@pytest.mark.parametrize("clip", [(0.0, 1.0), (0.1, 0.7), (-1.0 / 3.0, 0.9)])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_nothing_outside_the_box_is_queried_or_returned(clip, norm):
    laws.stays_in_the_box(With(WhiteBox(**QUICK, starts=("original", "noise"), norm=norm)), clip)


def test_a_constant_model_fails_every_example_and_has_no_distance():
    laws.fails_on_a_constant_model(With(WhiteBox(**QUICK)), 1 + 2 * (40 + 20))


def test_an_approximation_without_gradient_leaves_a_search_along_the_noise():
    result = WhiteBox(**QUICK)(laws.outside_ball, laws.points(2), [0, 0], smooth=lambda x, b, g: 0 * x.sum(1))
    assert result.success.all()


def test_a_misclassified_example_costs_one_query_and_no_gradient():
    laws.leaves_a_misclassified_example_alone(With(WhiteBox(**QUICK)))
    result = WhiteBox(**QUICK)(laws.outside_ball, laws.points(2), [0, 1], smooth=ball_smooth)
    assert result.extra["gradients"].tolist() == [2 * (40 + 20), 0]


def test_the_record_is_the_minimum_of_the_runs_and_their_traces_never_rise():
    laws.records_what_it_returns(With(WhiteBox(**QUICK)), "l2")


def test_a_run_does_not_depend_on_company_or_memory():
    laws.does_not_depend_on_company(With(WhiteBox(**QUICK)), With(WhiteBox(**QUICK, memory_budget=16 * 12 * 3)))


@pytest.mark.parametrize(("after", "norm"), [(0, "l2"), (1, "l2"), (20, "linf"), (55, "l2")])
def test_resumed_after_an_interrupt_equals_uninterrupted(tmp_path, after, norm):
    smooth = half_space_smooth(HalfSpace(40, 0.2, seed=1), "sign network")
    laws.resumes(With(WhiteBox(**QUICK, norm=norm), smooth), tmp_path / "state.npz", after)


def test_more_restarts_begin_with_the_same_runs():
    x = laws.points(2)
    one, three = (
        WhiteBox(**{**QUICK, "restarts": r})(laws.outside_ball, x, [0, 0], smooth=ball_smooth) for r in (1, 3)
    )
    first = three.trace["restart"] == 0
    assert one.trace["l2"].tobytes() == three.trace["l2"][first].tobytes()
    assert (three.l2 <= one.l2).all()


def test_a_start_at_the_nearest_sample_of_another_class():
    pool = np.random.default_rng(5).uniform(0, 1, (50, 12))
    of = laws.outside_ball(pool)
    attack = WhiteBox(**QUICK, starts=["nearest"])
    result = attack(laws.outside_ball, laws.points(2), [0, 0], smooth=ball_smooth, pool=pool, pool_labels=of)
    assert result.success.all()
    with pytest.raises(ValueError, match=r"'pool' .* samples of other classes\. Got samples of one class only"):
        attack(laws.outside_ball, laws.points(1), [0], smooth=ball_smooth, pool=pool, pool_labels=0 * of)
    with pytest.raises(ValueError, match=r"'pool' .* if start='nearest'"):
        attack(laws.outside_ball, laws.points(1), [0], smooth=ball_smooth)


def test_distance_is_less_than_half_of_that_of_a_short_black_box_attack():
    rng = np.random.default_rng(0)  # an ensemble of 15 random sign networks of 200 features
    hidden, output = rng.standard_normal((15, 10, 200)), rng.standard_normal((15, 10))
    thresholds = hidden @ np.full(200, 0.5)
    votes = StackedVotes(hidden, thresholds, output, output.sum(axis=1) / 2)

    def labels(rows):
        return (2 * votes.labels(rows).sum(axis=1) > 15).astype(np.int64)

    x = rng.uniform(0.2, 0.8, (4, 200)).astype(np.float32)
    y = labels(x)
    white = WhiteBox(**QUICK)(labels, x, y, smooth=lambda x, beta, gamma: smooth_share(votes, x, beta, gamma))
    black = HopSkipJump(max_iter=10, restarts=1)(labels, x, y)
    assert (labels(white.adversarials) != y).all()
    assert white.l2.mean() < black.l2.mean() / 2


def test_planned_iterations_anneal_within_every_leg():
    plan = plan_iterations(10, 2, (20.0, 3000.0), 0.1)
    assert [iteration.leg for iteration in plan] == [0] * 10 + [1] * 5 + [2] * 5
    assert [i for i, iteration in enumerate(plan) if iteration.begins] == [0, 10, 15]
    assert plan[0].beta == 20
    assert plan[0].step == pytest.approx(0.1)
    for leg in range(3):
        part = [iteration for iteration in plan if iteration.leg == leg]
        betas, steps, changes = ([getattr(i, name) for i in part] for name in ("beta", "step", "change"))
        assert (np.diff(betas) >= 0).all()
        assert betas[-1] == pytest.approx(3000)
        assert (np.diff(steps) < 0).all()
        assert (np.diff(changes) < 0).all()


def test_the_gradient_oracle_counts_and_does_not_depend_on_company():
    sizes = []

    def smooth(x, beta, gamma):
        sizes.append(len(x))
        return torch.sigmoid(gamma * (x**2).sum(1))

    oracle = GradientOracle(smooth, np.zeros(3, dtype=np.int64), 6)
    rows = np.random.default_rng(0).random((70, 6), dtype=np.float32)
    gradients = oracle(rows, np.repeat([0, 2], [50, 20]), 1.0, 2.0)
    assert oracle.gradients.tolist() == [50, 0, 20]
    assert set(sizes) == {32}
    assert gradients[60:].tobytes() == oracle(rows[60:], np.full(10, 1), 1.0, 2.0).tobytes()
    share = 1 / (1 + np.exp(-2 * (rows**2).sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(gradients, 4 * rows * share * (1 - share), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("smooth", "sentence"),
    [
        (7, "The 'smooth' of an attack must be a callable. Got 7 instead."),
        (lambda x, b, g: x[:5], r"one number per row, shape \(32,\), or one for each class. Got shape \(5, 12\)"),
        (lambda x, b, g: torch.sqrt(x - 1).sum(1), "finite gradients. Got NaN or infinity"),
    ],
)
def test_a_bad_smooth_function_is_refused(smooth, sentence):
    with pytest.raises(ValueError, match=sentence):
        WhiteBox(**QUICK)(laws.outside_ball, laws.points(2), [0, 0], smooth=smooth)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_iter", 0, "an int >= 1"),
        ("refinements", -1, "an int >= 0"),
        ("restarts", 0, "an int >= 1"),
        ("betas", [3.0], "two numbers > 0, the lower first"),
        ("betas", [3.0, 1.0], "two numbers > 0, the lower first"),
        ("gammas", [], "a list of distinct numbers >= 0.001, at least one"),
        ("step", 0, "a number > 0"),
        ("starts", ["far"], "a list of 'original', 'noise', 'nearest'"),
        ("starts", "noise", "a list of 'original', 'noise', 'nearest'"),
        ("seed", 1.5, "an int"),
        ("verbose", 1, "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of WhiteBox must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        WhiteBox(**{name: value})


def test_labels_other_than_0_and_1_are_refused():
    with pytest.raises(ValueError, match=r"'y' .* labels 0 and 1. Got labels \[0, 2\]"):
        WhiteBox(**QUICK)(laws.outside_ball, laws.points(2), [0, 2], smooth=ball_smooth)


def test_a_model_without_gradient_is_refused_in_one_sentence():
    from baselines.forest import ForestVotes
    from baselines.mlp import MLPVotes
    from pipeline.config.check import check_access
    from pipeline.errors import UserError
    from scd import SCDClassifier

    sentence = "attack=whitebox needs a model with a gradient; ForestVotes has none."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        check_access(WhiteBox(), ForestVotes(), "whitebox")
    for model in (SCDClassifier(), MLPVotes()):
        check_access(WhiteBox(), model, "whitebox")
