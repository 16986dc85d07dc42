"""A result holds at the end of the attack: adversarials are confirmed, distances measured again."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import NoiseSearch, Substitute, Transfer, WhiteBox
from attacks.engine.confirmation import check_distances
from attacks.engine.validation import read_task
from tests.attacks.attack_laws import Counting
from tests.attacks.half_space import same_result
from tests.attacks.test_decision_laws import CASES
from tests.attacks.test_transfer import parallel
from tests.attacks.test_whitebox import ball_smooth
from tests.attacks.text.text_models import World


class Forgetful:
    """Labels of `laws.outside_ball`, but an input that was queried before is always of label 0."""

    def __init__(self):
        self.seen = set()

    def __call__(self, rows, *more):
        known = np.array([row.tobytes() in self.seen for row in rows], dtype=bool)
        self.seen |= {row.tobytes() for row in rows}
        return np.where(known, 0, laws.outside_ball(rows))


def lost_all(result):
    lost = result.reason == "not confirmed by a fresh prediction"
    assert lost.any()
    assert not result.success[lost].any()
    assert np.isnan(result.l2[lost]).all()
    assert np.isnan(result.linf[lost]).all()
    assert np.isnan(result.adversarials[lost]).all()
    assert (result.restart[lost] == -1).all()
    assert not np.isin(result.index[lost], result.trace.get("index", [])).any()


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.attack is not NoiseSearch])
def test_an_adversarial_that_is_not_confirmed_is_no_success_and_has_no_distance(case):
    with pytest.warns(RuntimeWarning, match=r"^[1-3] of [1-3] adversarials that \w+ found were not confirmed"):
        lost_all(case()(Forgetful(), laws.points(3), [0, 0, 0]))


def test_so_it_is_with_the_white_box_attack():
    attack = WhiteBox(max_iter=20, refinements=0, restarts=1)
    with pytest.warns(RuntimeWarning, match="^3 of 3 adversarials that WhiteBox found were not confirmed"):
        lost_all(attack(Forgetful(), laws.points(3), [0, 0, 0], smooth=ball_smooth))


def test_so_it_is_with_the_substitute_attack():
    attack = Substitute(rounds=2, epochs=1, hidden_nodes=3, noise_draws=1, epsilons=[0, 1.0], epsilon=1.0, device="cpu")
    x = laws.points(8)
    calls = Counting(laws.outside_ball)
    whole = attack(calls, x, [0] * 8)
    labels = Counting(lambda rows: laws.outside_ball(rows) * (labels.calls < calls.calls))  # the last call confirms
    n = whole.success.sum()
    assert n > 0
    with pytest.warns(RuntimeWarning, match=f"^{n} of {n} .* The verified success rate is 0.0%"):
        lost_all(attack(labels, x, [0] * 8))


def test_the_queries_of_an_unconfirmed_adversarial_are_recorded():
    case, x, calls = CASES["hsj"], laws.points(2), Counting(laws.outside_ball)
    whole = case()(calls, x, [0, 0])
    labels = Counting(lambda rows: laws.outside_ball(rows) * (labels.calls < calls.calls))
    with pytest.warns(RuntimeWarning, match="^2 of 2 adversarials that HopSkipJump found were not confirmed"):
        result = case()(labels, x, [0, 0])
    assert not result.success.any()
    assert result.queries.tolist() == whole.queries.tolist()


def test_a_member_that_is_not_confirmed_counts_as_not_fooled():
    attack, x = Transfer(max_iter=3, init_eval=20), np.full((1, 8), 0.5, np.float32)
    model, seen = parallel(0.1, 0.2), set()

    def labels(rows, members):
        answer = model(rows, members)
        for k, row in enumerate(rows):
            answer[k] *= not (members[k] == 0 and row.tobytes() in seen)
            seen.add(row.tobytes())
        return answer

    with pytest.warns(RuntimeWarning, match="^1 of 2 adversarials that Transfer found .* success rate is 50.0%"):
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


def test_a_caller_that_confirms_by_itself_spares_the_query():
    labels = Counting(laws.outside_ball)
    labels.caller_confirms = True
    result = CASES["hsj"]()(labels, laws.points(2), [0, 0])
    assert labels.rows == result.queries.sum()
    assert result.adversarial_label is None
    confirmed = CASES["hsj"]()(laws.outside_ball, laws.points(2), [0, 0])
    assert confirmed.adversarial_label.tolist() == [1, 1]
    assert same_result(result, replace(confirmed, adversarial_label=None))


@pytest.mark.parametrize("column", ["l2", "linf"])
def test_a_distance_that_is_not_that_of_the_adversarial_is_an_error(column):
    x, y = laws.points(2), [0, 0]
    result = CASES["hsj"]()(laws.outside_ball, x, y)
    task = read_task("HopSkipJump", x, y, (0, 1), None)
    check_distances("HopSkipJump", result, task)
    shifted = replace(result, **{column: getattr(result, column) + np.array([0, 1e-5])})
    with pytest.raises(RuntimeError, match=r"^HopSkipJump recorded the distances .* for example 1, but its adversar"):
        check_distances("HopSkipJump", shifted, task)
