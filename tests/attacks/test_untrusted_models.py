"""Models that write into their inputs, change their labels, or change between two calls give no false number."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import tests.attacks.attack_laws as laws
from attacks import LabelOracle, NoiseSearch, RayS
from attacks.engine import checkpoint
from attacks.engine.checkpoint import load_state, save_state
from attacks.engine.confirmation import check_distances
from attacks.engine.validation import read_task
from attacks.substitute import Substitute
from attacks.transfer import Transfer
from attacks.whitebox import WhiteBox
from tests.attacks.attack_laws import Counting
from tests.attacks.half_space import HalfSpace, same_result
from tests.attacks.test_decision_laws import CASES
from tests.attacks.test_transfer import parallel
from tests.attacks.test_whitebox import ball_smooth
from tests.attacks.text.text_models import World, same_texts

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def in_place(rows, *more):
    """`laws.outside_ball`, but the inputs are centred in place."""
    rows -= np.float32(0.5)
    return ((rows.astype(np.float64) ** 2).sum(axis=1) > 0.3).astype(np.int64)


def centred(rows, *more):
    return in_place(rows.copy(), *more)


class Forgetful:
    """Labels of `laws.outside_ball`, but an input that was queried before is always of label 0."""

    def __init__(self):
        self.seen = set()

    def __call__(self, rows, *more):
        known = np.array([row.tobytes() in self.seen for row in rows], dtype=bool)
        self.seen |= {row.tobytes() for row in rows}
        return np.where(known, 0, laws.outside_ball(rows))


@every_case
def test_a_model_that_writes_into_its_inputs_changes_no_number_and_no_array(case):
    x = laws.points(3)
    kept = x.copy()
    assert same_result(case()(centred, x, [0, 0, 0]), case()(in_place, x, [0, 0, 0]))
    assert x.tobytes() == kept.tobytes()


@pytest.mark.parametrize(
    ("attack", "more"),
    [
        (WhiteBox(max_iter=20, refinements=0, restarts=1), {"smooth": ball_smooth}),
        (Transfer(max_iter=3, init_eval=20), {"n_members": 2}),
        (Substitute(rounds=2, epochs=1, hidden_nodes=3, noise_draws=1, device="cpu"), {}),
    ],
    ids=["whitebox", "transfer", "substitute"],
)
def test_so_it_is_with_the_other_attacks(attack, more):
    x = laws.points(4)
    kept = x.copy()
    assert same_result(attack(centred, x, [0] * 4, **more), attack(in_place, x, [0] * 4, **more))
    assert x.tobytes() == kept.tobytes()


def test_a_tensor_for_a_device_is_private_too():
    inputs = torch.full((2, 3), 0.75)
    assert LabelOracle(lambda rows: rows.sub_(0.5).sum(1) > 0, 1, 3)(inputs, np.array([0, 0])).tolist() == [1, 1]
    assert inputs.tolist() == [[0.75] * 3] * 2


def test_a_model_that_changes_its_documents_changes_no_number(tmp_path):
    world = World(2)
    attack = world.attack(tmp_path)
    whole = attack(world.model, world.documents, world.y)

    def emptied(documents):
        scores = world.model(documents)
        for document in documents:
            document.clear()
        return scores

    assert same_texts(whole, attack(emptied, world.documents, world.y))


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.attack is not NoiseSearch])
def test_an_adversarial_that_is_not_confirmed_is_no_success_and_has_no_distance(case):
    x = laws.points(3)
    with pytest.warns(RuntimeWarning, match=r"^[1-3] of [1-3] adversarials that \w+ found were not confirmed"):
        result = case()(Forgetful(), x, [0, 0, 0])
    lost = result.reason == "not confirmed by a fresh prediction"
    assert lost.any()
    assert not result.success[lost].any()
    assert np.isnan(result.l2[lost]).all()
    assert np.isnan(result.linf[lost]).all()
    assert np.isnan(result.adversarials[lost]).all()
    assert (result.restart[lost] == -1).all()


def test_all_is_recorded_of_an_adversarial_that_is_not_confirmed_but_its_distance(tmp_path):
    case, x, calls = CASES["hsj"], laws.points(2), Counting(laws.outside_ball)
    whole = case()(calls, x, [0, 0])
    labels = Counting(lambda rows: laws.outside_ball(rows) * (labels.calls < calls.calls))  # the last call confirms
    with pytest.warns(RuntimeWarning, match="^2 of 2 adversarials that HopSkipJump found were not confirmed"):
        result = case()(labels, x, [0, 0], state=tmp_path / "state.npz")
    assert not result.success.any()
    assert result.queries.tolist() == whole.queries.tolist()
    assert result.trace["l2"].tobytes() == whole.trace["l2"].tobytes()
    assert same_result(result, case()(Counting(labels, 0), x, [0, 0], state=tmp_path / "state.npz"))


def test_a_member_that_is_not_confirmed_counts_as_not_fooled():
    attack, x = Transfer(max_iter=3, init_eval=20), np.full((1, 8), 0.5, np.float32)
    model, seen = parallel(0.1, 0.2), set()

    def labels(rows, members):
        answer = model(rows, members)
        for k, row in enumerate(rows):
            answer[k] *= not (members[k] == 0 and row.tobytes() in seen)
            seen.add(row.tobytes())
        return answer

    with pytest.warns(RuntimeWarning, match="^1 of 2 adversarials that Transfer found"):
        result = attack(labels, x, [0], n_members=2)
    assert result.restart.tolist() == [1]
    assert result.tables["pairs"]["reason"].tolist() == ["not confirmed by a fresh prediction", ""]
    assert result.l2[0] == pytest.approx(0.2, rel=0.3)


def test_a_text_that_is_not_confirmed_has_no_adversarial(tmp_path):
    world = World(2)
    attack, last = world.attack(tmp_path), Counting(world.model)
    whole = attack(last, world.documents, world.y)
    again = Counting(world.model)

    def scores(documents):
        found = again(documents)
        return found if again.calls < last.calls else 1.0 - found  # the last call confirms

    n = whole.success.sum()
    with pytest.warns(RuntimeWarning, match=f"^{n} of {n} adversarials that TextFooler found were not confirmed"):
        result = attack(scores, world.documents, world.y)
    lost = whole.success
    assert n > 0
    assert not result.success.any()
    assert set(result.reason[lost]) == {"not confirmed by a fresh prediction"}
    assert np.isnan(result.score_after[lost]).all()
    assert result.adversarial == [None] * len(lost)
    assert result.words_changed.tolist() == [0] * len(lost)
    assert result.queries.tolist() == whole.queries.tolist()


def test_a_deterministic_model_is_confirmed_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CASES["hsj"]()(laws.outside_ball, laws.points(3), [0, 0, 0]).success.all()


@pytest.mark.parametrize("column", ["l2", "linf"])
def test_a_distance_that_is_not_that_of_the_adversarial_is_an_error(column):
    x, y = laws.points(2), [0, 0]
    result = CASES["hsj"]()(laws.outside_ball, x, y)
    task = read_task("HopSkipJump", x, y, (0, 1), None)
    check_distances("HopSkipJump", result, task)
    shifted = replace(result, **{column: [*getattr(result, column), 0, 1e-05]})
    with pytest.raises(
        RuntimeError, match=r"^HopSkipJump recorded the distances .* for example 1, but its adversarial"
    ):
        check_distances("HopSkipJump", shifted, task)


def test_the_originals_are_those_at_the_call_although_the_caller_changes_them():
    x = laws.points(2)
    kept = x.copy()

    def labels(rows):
        x[:] = 0.9
        return laws.outside_ball(rows)

    result = CASES["hsj"]()(labels, x, [0, 0])
    assert same_result(result, CASES["hsj"]()(laws.outside_ball, kept, [0, 0]))


class Shifted(HalfSpace):
    """The half-space on the other side of the original."""

    def __call__(self, rows):
        return 1 - super().__call__(rows)


@every_case
def test_the_state_of_another_model_is_refused(case, tmp_path, monkeypatch):
    monkeypatch.setattr("attacks.surfree._ROUNDS", 16)
    model, path = HalfSpace(40, 0.2, seed=1), tmp_path / "state.npz"
    attack, other = case(**case.resumed), Shifted(40, 0.2, seed=1)
    with pytest.raises(KeyboardInterrupt):
        attack(Counting(model, case.interrupts[-1]), model.x, [0], state=path)
    content = path.read_bytes()
    sentence = f"The attack state {path} belongs to another model: the model given here has other labels at 1 of the 1"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)} points that the state knows; give another file"):
        attack(other, model.x, [0], state=path)
    assert load_state(path)["model.labels"].tolist() == [0]
    assert content
    assert same_result(attack(model, model.x, [0]), attack(model, model.x, [0], state=path))


def test_the_state_of_another_text_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("attacks.text.word_search._STEP_QUERIES", 40)
    world, path = World(0), tmp_path / "state.npz"
    attack = world.attack(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        attack(Counting(world.model, 4), world.documents, world.y, state=path)
    with pytest.raises(ValueError, match="belongs to another model: the model given here has other labels at 12 of "):
        attack(lambda documents: 1.0 - world.model(documents), world.documents, world.y, state=path)


def test_a_state_that_does_not_know_its_model_is_resumed(tmp_path, monkeypatch):
    model, path, case = HalfSpace(40, 0.2, seed=1), tmp_path / "state.npz", CASES["hsj"]
    with pytest.raises(KeyboardInterrupt):
        case()(Counting(model, 30), model.x, [0], state=path)
    old = {name: array for name, array in load_state(path).items() if not name.startswith("model.")}
    save_state(path, old)
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        case()(Counting(model, 30), model.x, [0], state=path)
    assert not [name for name in load_state(path) if name.startswith("model.")]  # it does not learn a false label
    assert same_result(case()(model, model.x, [0]), case()(model, model.x, [0], state=path))


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_rays_queries_the_corner_of_all_plus_one_before_it_gives_up(d):
    x, seen = np.full((1, d), 0.2, np.float32), []

    def labels(rows):
        seen.extend(rows.tolist())
        return (rows.min(axis=1) > 0.5).astype(int)  # adversarial near this corner only

    result = RayS(query_budget=3000)(labels, x, [0])
    assert result.success.tolist() == [True]
    assert result.linf[0] == pytest.approx(0.3, rel=1e-3)
    assert result.queries[0] + 1 == len(seen)


@pytest.mark.parametrize(
    "given",
    [
        lambda x: torch.from_numpy(x).requires_grad_(),
        lambda x: torch.from_numpy(x).double(),
        lambda x: list(torch.from_numpy(x).requires_grad_()),
        lambda x: x.tolist(),
        lambda x: list(x),
    ],
    ids=["requires_grad", "double", "list of tensors", "list of lists", "list of arrays"],
)
def test_points_may_be_tensors_and_lists(given):
    x, y = laws.points(2), torch.zeros(2, dtype=torch.int64)
    attack = CASES["hsj"]()
    result = attack(laws.outside_ball, given(x), y, index=torch.arange(2))
    assert same_result(result, attack(laws.outside_ball, x, [0, 0]))
    assert same_result(result, attack(lambda rows: torch.from_numpy(laws.outside_ball(rows)), x, [0, 0]))


def test_starts_may_be_tensors():
    x, far = laws.points(2), torch.ones(12, requires_grad=True)
    attack = CASES["hsj"](start="given")
    result = attack(laws.outside_ball, x, [0, 0], starts={0: far})
    assert same_result(result, attack(laws.outside_ball, x, [0, 0], starts={0: np.ones(12)}))


def test_a_torch_device_is_a_device():
    cpu = Substitute(rounds=1, epochs=1, hidden_nodes=2, noise_draws=1, device=torch.device("cpu"))
    assert cpu.device == torch.device("cpu")

    class OnCpu:
        device = torch.device("cpu")

        def __call__(self, rows):
            assert isinstance(rows, np.ndarray)
            return laws.outside_ball(rows)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # inputs are generated on the CPU because that is the device
        CASES["hsj"]()(OnCpu(), laws.points(1), [0])
