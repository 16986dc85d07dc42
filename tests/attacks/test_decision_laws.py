"""What every attack on labels keeps, whatever it does: box, budget, independence, resumption, a true record."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import CGBA, BoundaryAttack, HopSkipJump, NoiseSearch, RayS, SurFree
from attacks.engine import numba_kernels
from tests.attacks.half_space import same_result


@dataclass(frozen=True)
class Case:
    """An attack in miniature, and what its laws need to know of it."""

    attack: type
    quick: dict[str, Any]
    constant: dict[str, Any]  # settings for a constant model
    constant_queries: int  # that an example then costs
    after: tuple[int, ...]  # calls after which it is interrupted
    norm: str = "l2"
    budget: dict[str, Any] = field(default_factory=dict)  # instead of `quick` where a query budget ends the attack
    resumed: dict[str, Any] = field(default_factory=dict)  # on top of `quick` where it is interrupted
    rows: int = 7  # of a block, where blocks are to be small

    def __call__(self, **settings: Any) -> Any:
        return self.attack(**{**self.quick, **settings})


NO_START = {"init_size": 7}
SMALL_BLOCKS = 16 * 40  # bytes of a row of `laws.resumes`, in blocks
HSJ = {"max_iter": 4, "restarts": 2, "init_eval": 20}
CASES = {
    "hsj": Case(HopSkipJump, HSJ, NO_START, 1 + 2 * 7, (0, 2, 15, 40), budget=HSJ),
    "hsj-linf": Case(HopSkipJump, {**HSJ, "norm": "linf"}, NO_START, 1 + 2 * 7, (0, 2, 15, 40), "linf", budget=HSJ),
    "boundary": Case(
        BoundaryAttack, {"max_iter": 4, "restarts": 2, "sample_size": 5, "num_trial": 3}, NO_START, 1 + 2 * 7,
        (0, 2, 5, 12, 17), budget={"max_iter": 100, "restarts": 2}, resumed={"memory_budget": 16 * SMALL_BLOCKS},
    ),
    "cgba": Case(
        CGBA, {"max_iter": 4, "restarts": 2, "init_eval": 20}, NO_START, 1 + 2 * 7, (0, 2, 15, 40, 70),
        budget={"restarts": 2}, resumed={"memory_budget": 16 * SMALL_BLOCKS},
    ),
    "surfree": Case(
        SurFree, {"max_iter": 12, "restarts": 2}, NO_START, 1 + 2 * 7, (0, 2, 15, 40, 90), budget={"restarts": 2},
        resumed={"restarts": 3}, rows=3,
    ),
    "noise": Case(
        NoiseSearch, {"levels": 8, "draws": 20}, {}, 1 + 8 * 20, (0, 2, 9, 20, 30),
        resumed={"memory_budget": 8 * SMALL_BLOCKS},
    ),
    "noise-uniform": Case(NoiseSearch, {"levels": 8, "draws": 20, "kind": "uniform"}, {}, 1 + 8 * 20, (0, 2)),
    # a constant model: blocks of 12 features, 1 + 2 + 4 + 6 + 12, of sizes 12, 6, 3, 2 and 1, after the own label
    "rays": Case(
        RayS, {"query_budget": 300}, {"query_budget": None}, 1 + 1 + 2 + 4 + 6 + 12, (0, 1, 2, 40, 230, 250), "linf",
        resumed={"query_budget": 500}, rows=2,
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.mark.parametrize("clip", [(0.0, 1.0), (0.1, 0.7), (-1.0 / 3.0, 0.9)])
@every_case
def test_nothing_outside_the_box_is_asked_or_returned(case, clip):
    laws.stays_in_the_box(case(), clip)


@every_case
def test_a_constant_model_fails_every_example_and_has_no_distance(case):
    laws.fails_on_a_constant_model(case(**case.constant), case.constant_queries)


@every_case
def test_an_already_misclassified_example_costs_one_query_and_is_not_a_success(case):
    laws.leaves_a_misclassified_example_alone(case())


@every_case
def test_the_record_is_the_least_of_the_runs_and_their_traces_never_rise(case):
    laws.records_what_it_returns(case(), case.norm)


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 17, 40, 64, 100, 333, 1000])
@every_case
def test_the_query_budget_is_never_exceeded(case, budget):
    laws.never_exceeds_its_budget(case.attack(**{**case.budget, "query_budget": budget}))


@every_case
def test_a_run_does_not_depend_on_the_other_points_or_on_the_block_size(case):
    laws.does_not_depend_on_company(case(), case(memory_budget=16 * 12 * case.rows))


@every_case
def test_a_run_does_not_depend_on_the_threads(case, monkeypatch):
    def result():
        return case()(laws.outside_ball, laws.points(4), np.zeros(4, int))

    alone = result()
    monkeypatch.setattr(numba_kernels, "_SMALL_WORK", 0)
    monkeypatch.setattr(numba_kernels, "_workers", lambda: 3)
    assert same_result(alone, result())


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.attack is not RayS])
def test_the_seed_and_only_the_seed_decides(case):
    before = np.random.get_state()[1].tobytes()
    first, again, other, large = (case(seed=s)(laws.outside_ball, laws.points(2), [0, 0]) for s in (1, 1, -1, 2**80))
    assert same_result(first, again)
    assert len({float(getattr(result, case.norm)[0]) for result in (first, other, large)}) == 3
    assert np.random.get_state()[1].tobytes() == before


@pytest.mark.parametrize(
    ("case", "after"), [pytest.param(c, n, id=f"{name}-{n}") for name, c in CASES.items() for n in c.after]
)
def test_resumed_after_an_interrupt_equals_uninterrupted(case, after, tmp_path, monkeypatch):
    monkeypatch.setattr("attacks.surfree._ROUNDS", 16)  # so that there are snapshots
    laws.resumes(case(**case.resumed), tmp_path / "state.npz", after)
