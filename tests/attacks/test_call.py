"""What a caller may pass: models, shapes, labels of any kind, fixed features, a target; and what comes back."""

import numpy as np
import pytest

from attacks import HopSkipJump, RayS, SurFree
from tests.attacks.attack_laws import Counting, outside_ball, points
from tests.attacks.half_space import HalfSpace, same_result

QUICK = {"max_iter": 5, "restarts": 2, "init_eval": 20}
NAMES = np.array(["in", "out"])


def named(rows):
    return NAMES[outside_ball(rows.reshape(len(rows), -1))]


def test_labels_may_be_texts_and_samples_may_have_a_shape():
    plain = HopSkipJump(**QUICK)(outside_ball, points(3), [0, 0, 0])
    x = points(3).reshape(3, 3, 2, 2)
    shaped = HopSkipJump(**QUICK)(named, x, ["in"] * 3)
    assert shaped.adversarials.shape == x.shape
    assert shaped.label.tolist() == ["in"] * 3
    assert same_result(shaped, HopSkipJump(**QUICK)(named, x, np.array(["in"] * 3, dtype=object)))
    np.testing.assert_array_equal(shaped.adversarials.reshape(3, -1), plain.adversarials)
    np.testing.assert_array_equal(shaped.queries, plain.queries)


@pytest.mark.parametrize("attack", [HopSkipJump(**QUICK), SurFree(max_iter=12, restarts=2), RayS(query_budget=200)])
def test_without_labels_those_of_the_model_are_taken_and_counted_once(attack):
    model = Counting(outside_ball)
    x = np.concatenate([points(2), np.ones((1, 12), dtype=np.float32)])
    result = attack(model, x)
    assert result.label.tolist() == [0, 0, 1]
    assert result.success[:2].all()
    assert 0 <= model.rows - result.queries.sum() <= result.success.sum()  # a confirmation of each is not counted
    assert same_result(result, attack(outside_ball, x, [0, 0, 1]))


def test_a_mask_keeps_features_and_the_rest_is_attacked_alone():
    """Of a half-space the distance within the free features is known: the bound's distance over their part of it."""
    model = HalfSpace(40, 0.2, seed=1)
    mask = np.arange(40) < 20
    result = HopSkipJump(max_iter=30, restarts=2)(model, model.x, [0], mask=mask, clip=(-1, 2))
    assert (result.adversarials[:, mask] == model.x[:, mask]).all()
    assert model(result.adversarials).tolist() == [1]
    best = 0.2 / np.linalg.norm(model.normal[~mask])
    assert best <= result.l2[0] < 1.05 * best
    np.testing.assert_allclose(result.l2, np.linalg.norm(result.adversarials - model.x, axis=1), rtol=1e-5)


def test_a_mask_takes_the_bounds_pool_and_starts_of_all_features():
    x = points(2).reshape(2, 3, 4)
    mask = np.zeros((3, 4), dtype=bool)
    mask[0] = True
    high = np.linspace(0.9, 1, 12).reshape(3, 4)
    pool = np.concatenate([x, np.full((1, 3, 4), 0.9, dtype=np.float32)])
    for settings, given in (
        ({"start": "nearest"}, {"pool": pool, "pool_labels": ["in", "in", "out"]}),
        ({"start": "given"}, {"starts": {"in": pool[2]}}),
        ({"start": "given"}, {"starts": pool[[2, 2]]}),
    ):
        result = HopSkipJump(**QUICK, **settings)(named, x, ["in", "in"], mask=mask, clip=(0, high), **given)
        assert result.success.all()
        assert (result.adversarials[:, 0] == x[:, 0]).all()
        assert (result.adversarials <= high.astype("f4")).all()


def thirds(rows):
    """Three classes by the first feature."""
    return np.array(["low", "middle", "high"])[np.digitize(rows[:, 0], [1 / 3, 2 / 3])]


def test_a_target_is_reached():
    x = np.full((3, 4), 0.1, dtype=np.float32)
    x[2, 0] = 0.9
    any_other = HopSkipJump(**QUICK)(thirds, x)
    assert thirds(any_other.adversarials).tolist() == ["middle"] * 3
    result = HopSkipJump(**QUICK)(thirds, x, target="high")
    assert result.success.tolist() == [True, True, False]
    assert result.reason.tolist() == ["", "", "already of the target class"]
    assert thirds(result.adversarials[:2]).tolist() == ["high", "high"]
    assert (np.abs(result.l2[:2] - (2 / 3 - 0.1)) < 0.05).all()
    each = HopSkipJump(**QUICK)(thirds, x, target=["middle", "high", "low"])
    assert thirds(each.adversarials).tolist() == ["middle", "high", "low"]
    pool = np.array([[0.5, 0, 0, 0], [0.95, 0, 0, 0]], dtype=np.float32)
    near = HopSkipJump(**QUICK, start="nearest")
    model = Counting(thirds)
    found = near(model, x[:1], target="high", pool=pool, pool_labels=["middle", "high"])
    assert thirds(found.adversarials).tolist() == ["high"]
    given = HopSkipJump(**QUICK, start="given")(thirds, x[:1], target="high", starts={"high": pool[1]})
    assert same_result(given, found)


def test_a_model_may_be_given_as_it_is():
    import torch
    from sklearn.tree import DecisionTreeClassifier

    x, rng = points(2), np.random.default_rng(0)
    rows = rng.random((300, 12), dtype=np.float32)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(rows, NAMES[(rows[:, 0] > 0.6).astype(int)])
    tree_result = HopSkipJump(**QUICK)(tree, x)
    assert tree_result.success.all()
    assert (tree.predict(tree_result.adversarials) != tree_result.label).all()
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    with pytest.raises(ValueError, match=r"call eval\(\) first"):
        HopSkipJump(**QUICK)(net, x)
    result = HopSkipJump(**QUICK)(net.eval(), x.reshape(2, 3, 4))
    with torch.no_grad():
        labels = net(torch.from_numpy(np.nan_to_num(result.adversarials))).argmax(1).numpy()
    assert (labels != result.label)[result.success].all()

    class OfScores:
        def predict(self, rows):
            return np.eye(2)[outside_ball(rows)]

    assert same_result(HopSkipJump(**QUICK)(OfScores(), x, [0, 0]), HopSkipJump(**QUICK)(outside_ball, x, [0, 0]))


def test_tensors_may_be_given():
    import torch

    x = torch.from_numpy(points(2)).requires_grad_()
    plain = HopSkipJump(**QUICK)(outside_ball, points(2), [0, 0], mask=np.arange(12) < 2)
    assert same_result(plain, HopSkipJump(**QUICK)(outside_ball, x, torch.tensor([0, 0]), mask=torch.arange(12) < 2))


def test_an_interrupted_attack_on_a_view_is_resumed(tmp_path):
    x, mask = points(2), np.arange(12) < 2
    call = {"mask": mask, "state": tmp_path / "state.npz"}
    whole = HopSkipJump(**QUICK)(named, x, ["in", "in"], mask=mask)
    with pytest.raises(KeyboardInterrupt):
        HopSkipJump(**QUICK)(Counting(named, 9), x, ["in", "in"], **call)
    assert same_result(HopSkipJump(**QUICK)(named, x, ["in", "in"], **call), whole)
    with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
        HopSkipJump(**QUICK)(named, x, ["in", "in"], **{**call, "mask": ~mask})


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"mask": [True] * 12}, r"'mask' parameter of HopSkipJump must be bools of shape \(12,\), not all True"),
        ({"mask": [0] * 12}, r"'mask' parameter .* Got int64 of shape \(12,\) instead"),
        ({"y": ["in"]}, "'y' parameter of HopSkipJump must be an array of 2 integers or texts"),
        ({"x": points(2)[0]}, r"'x' parameter .* Got float32 of shape \(12,\)"),
        ({"y": ["in", "in"], "clip": 3}, "'clip' parameter"),
        ({"labels": lambda rows: np.zeros((len(rows), 2))}, "one label per input, integers or texts"),
        ({"labels": 3}, "must be a callable"),
        ({"pool": np.zeros((3, 4))}, r"'pool or starts' .* samples of shape \(12,\) like x. Got shape \(3, 4\)"),
        ({"y": [0, 0], "mask": [True] + [False] * 11}, r"of the kind of the labels .* Got .*'in'.* and .*0"),
    ],
)
def test_a_bad_call_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        HopSkipJump(**QUICK)(**{"labels": named, "x": points(2), **call})


def test_a_result_is_readable_and_a_table():
    result = HopSkipJump(**QUICK)(outside_ball, points(3), [0, 0, 1])
    assert repr(result).splitlines()[0] == "AttackResult: 2 of 3 examples have an adversarial"
    assert f"L2: mean {result.l2[:2].mean():.4g}" in repr(result)
    assert repr(result).splitlines()[-1] == "  already misclassified: 1"
    frame = result.to_frame()
    assert frame["success"].tolist() == [True, True, False]
    assert list(frame)[:4] == ["index", "label", "success", "l2"]


class Scores:
    """A model whose rows of scores are NaN where its first feature is above `limit`."""

    def __init__(self, limit):
        self.limit = limit

    def predict(self, rows):
        """(n, 2) scores."""
        scores = np.stack([np.full(len(rows), 0.5), rows[:, 1]], axis=1)
        return np.where(rows[:, :1] > self.limit, np.nan, scores)


def test_a_torch_module_gets_inputs_of_its_own_precision():
    import torch

    layer = torch.nn.Linear(2, 2).double().eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        layer.bias.copy_(torch.tensor([0.0, -0.5 + 1e-12], dtype=torch.float64))  # which float32 rounds away
    x = np.array([[0.5, 0.5], [0.25, 0.5]], dtype=np.float32)
    result = HopSkipJump(max_iter=2, restarts=1)(layer, x)
    assert result.label.tolist() == [1, 0]
    assert result.success.all()


def test_scores_that_are_no_numbers_have_no_label():
    x = np.full((1, 2), 0.25, dtype=np.float32)
    assert HopSkipJump(max_iter=2, restarts=1)(Scores(2.0), x).success.all()
    with pytest.raises(ValueError, match="must return scores that are numbers"):
        HopSkipJump(max_iter=2, restarts=1)(Scores(0.25), x)
