"""Laws of every decision-based attack: box, query budget, independence, resumption, a true record."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import CGBA, BoundaryAttack, HopSkipJump, NoiseSearch, RayS, SignOPT, SmoothedBoundary, SurFree, Surrogate
from scd import devices
from tests.attacks.half_space import same_result


@dataclass(frozen=True)
class Case:
    """A small setting of an attack, and its numbers that the laws need."""

    attack: type
    quick: dict[str, Any]
    constant_queries: int  # of an example with a constant model
    interrupts: tuple[int, ...]  # calls after which the attack is interrupted
    constant: dict[str, Any] = field(default_factory=dict)  # in addition to `quick`, for a constant model
    norm: str = "l2"
    budget: dict[str, Any] = field(default_factory=dict)  # instead of `quick`, if a query budget ends the attack
    resumed: dict[str, Any] = field(default_factory=dict)  # in addition to `quick`, if the attack is interrupted
    small_block: int = 7  # inputs per block, for small blocks

    def __call__(self, **settings: Any) -> Any:
        return self.attack(**{**self.quick, **settings})


class OfSignals:
    """The laws' points as signals, of which an attack with a subspace must know the shape."""

    def __call__(self, labels: Any, x: Any, y: Any = None, **call: Any) -> Any:
        return super().__call__(labels, x, y, feature_shape=np.shape(x)[1:], **call)


class SmoothedBoundaryOfSignals(OfSignals, SmoothedBoundary): ...


class CGBAOfSignals(OfSignals, CGBA): ...


class HopSkipJumpOfSignals(OfSignals, HopSkipJump): ...


NO_START = {"init_size": 7}
FAILED_STARTS = 1 + 2 * 7  # the own label, then 7 candidates of 2 runs
INPUT_BYTES = 16 * 40  # of an input of `laws.resumes` in a block
HSJ = {"max_iter": 4, "restarts": 2, "init_eval": 20}
LOW = {"subspace": "dct", "subspace_size": 8}  # of 12 or 40 features
SURROGATE = {"max_iter": 4, "restarts": 2, "probes": 20, "samples": 24}
CASES = {
    "hsj": Case(
        attack=HopSkipJump,
        quick=HSJ,
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget=HSJ,
        interrupts=(0, 1, 3, 10, 22, 40, 77, 90),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "hsj-linf": Case(
        attack=HopSkipJump,
        quick={**HSJ, "norm": "linf"},
        norm="linf",
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget=HSJ,
        interrupts=(0, 1, 3, 10, 22, 40, 77, 90),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "boundary": Case(
        attack=BoundaryAttack,
        quick={"max_iter": 4, "restarts": 2, "sample_size": 5, "num_trial": 3},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"max_iter": 100, "restarts": 2},
        interrupts=(0, 2, 5, 12, 17),
        resumed={"memory_budget": 16 * INPUT_BYTES},
    ),
    "cgba": Case(
        attack=CGBA,
        quick={"max_iter": 4, "restarts": 2, "init_eval": 20},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2},
        interrupts=(0, 2, 15, 40, 70),
        resumed={"memory_budget": 16 * INPUT_BYTES},
    ),
    "surfree": Case(
        attack=SurFree,
        quick={"max_iter": 12, "restarts": 2},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2},
        interrupts=(0, 2, 15, 40, 90),
        resumed={"restarts": 3},
        small_block=3,
    ),
    "signopt": Case(
        attack=SignOPT,
        quick={"max_iter": 4, "restarts": 2, "probes": 20},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2},
        interrupts=(0, 2, 60, 105, 160),
        resumed={"memory_budget": 16 * INPUT_BYTES},
    ),
    "arsopt": Case(
        attack=SignOPT,
        quick={"max_iter": 4, "restarts": 2, "probes": 20, "accelerated": True},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2, "accelerated": True, "probes": 30},
        interrupts=(0, 2, 60, 140, 240),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "smoothed": Case(
        attack=SmoothedBoundary,
        quick={"max_iter": 4, "restarts": 2, "probes": 20},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2},
        interrupts=(0, 2, 15, 40, 55),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "smoothed-linf": Case(
        attack=SmoothedBoundary,
        quick={"max_iter": 4, "restarts": 2, "probes": 20, "norm": "linf"},
        norm="linf",
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2, "norm": "linf"},
        interrupts=(0, 2, 15, 40, 55),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "smoothed-rays": Case(
        attack=SmoothedBoundary,
        quick={"max_iter": 4, "restarts": 2, "probes": 20, "start": "rays", "step": 0.2, "memory": 1.0},
        constant=NO_START,
        # two runs: the blocks of RayS on 12 features, see "rays", then noise
        constant_queries=FAILED_STARTS + 2 * (1 + 2 + 4 + 6 + 12 + 1),
        budget={"restarts": 2, "start": "rays"},
        interrupts=(0, 2, 15, 40, 90),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "smoothed-dct": Case(
        attack=SmoothedBoundaryOfSignals,
        quick={"max_iter": 4, "restarts": 2, "probes": 20, **LOW, "subspace_queries": 2500},  # half of a run's
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2, **LOW, "subspace_queries": 100},
        interrupts=(0, 2, 15, 40, 55),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "smoothed-blocks-linf": Case(
        attack=SmoothedBoundaryOfSignals,
        quick={"max_iter": 4, "restarts": 2, "probes": 20, "norm": "linf", **LOW, "subspace": "blocks"},
        norm="linf",
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2, "norm": "linf", **LOW, "subspace": "blocks"},
        interrupts=(0, 2, 15, 40, 55),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "cgba-dct": Case(
        attack=CGBAOfSignals,
        quick={"max_iter": 4, "restarts": 2, "init_eval": 20, **LOW},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={"restarts": 2, **LOW},
        interrupts=(0, 2, 15, 40, 70),
        resumed={"memory_budget": 16 * INPUT_BYTES},
    ),
    "hsj-dct": Case(
        attack=HopSkipJumpOfSignals,
        quick={**HSJ, **LOW},
        constant=NO_START,
        constant_queries=FAILED_STARTS,
        budget={**HSJ, **LOW},
        interrupts=(0, 10, 77),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "surrogate": Case(
        attack=Surrogate,
        quick={**SURROGATE, "votes": 2, "iterations": 3},
        constant=NO_START,
        # the samples of a point, then as of "smoothed-rays": without an adversarial sample there is no surrogate
        constant_queries=FAILED_STARTS + 24 + 2 * (1 + 2 + 4 + 6 + 12 + 1),
        budget={"restarts": 2, "votes": 2, "iterations": 3},
        interrupts=(0, 1, 2, 40, 170, 180),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "surrogate-linf": Case(
        attack=Surrogate,
        quick={**SURROGATE, "surrogate": "logistic", "norm": "linf"},
        norm="linf",
        constant=NO_START,
        constant_queries=FAILED_STARTS + 24 + 2 * (1 + 2 + 4 + 6 + 12 + 1),
        budget={"restarts": 2, "surrogate": "logistic", "norm": "linf"},
        interrupts=(0, 1, 2, 40, 170, 180),
        resumed={"restarts": 3, "memory_budget": 16 * INPUT_BYTES},
    ),
    "noise": Case(
        attack=NoiseSearch,
        quick={"levels": 8, "draws": 20},
        constant_queries=1 + 8 * 20,
        interrupts=(0, 2, 9, 20, 30),
        resumed={"memory_budget": 8 * INPUT_BYTES},
    ),
    "noise-uniform": Case(
        attack=NoiseSearch,
        quick={"levels": 8, "draws": 20, "kind": "uniform"},
        constant_queries=1 + 8 * 20,
        interrupts=(0, 2),
    ),
    "rays": Case(
        attack=RayS,
        quick={"query_budget": 300},
        norm="linf",
        constant={"query_budget": None},
        # after the own label, blocks of the 12 features: 1 + 2 + 4 + 6 + 12, of sizes 12, 6, 3, 2 and 1; then all +1
        constant_queries=1 + 1 + 2 + 4 + 6 + 12 + 1,
        interrupts=(0, 1, 2, 40, 230, 250),
        resumed={"query_budget": 500},
        small_block=2,
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.mark.parametrize("clip", [(0.0, 1.0), (0.1, 0.7), (-1.0 / 3.0, 0.9)])
@every_case
def test_nothing_outside_the_box_is_queried_or_returned(case, clip):
    laws.stays_in_the_box(case(), clip)


@every_case
def test_each_feature_stays_within_bounds_of_its_own(case):
    laws.stays_within_the_bounds_of_each_feature(case())


@every_case
def test_equal_bounds_of_all_features_are_one_pair_of_bounds(case):
    laws.equal_bounds_are_one_pair(case())


@every_case
def test_a_constant_model_fails_every_example_and_has_no_distance(case):
    laws.fails_on_a_constant_model(case(**case.constant), case.constant_queries)


@every_case
def test_an_already_misclassified_example_costs_one_query_and_is_not_a_success(case):
    laws.leaves_a_misclassified_example_alone(case())


@every_case
def test_the_record_is_the_minimum_of_the_runs_and_their_traces_never_rise(case):
    laws.records_what_it_returns(case(), case.norm)


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 17, 40, 64, 100, 333, 1000])
@every_case
def test_the_query_budget_is_never_exceeded(case, budget):
    laws.never_exceeds_its_budget(case.attack(**{**case.budget, "query_budget": budget}))


@every_case
def test_a_run_does_not_depend_on_the_other_points_or_on_the_block_size(case):
    laws.does_not_depend_on_company(case(), case(memory_budget=16 * 12 * case.small_block))


@every_case
def test_a_run_does_not_depend_on_the_threads(case, monkeypatch):
    def result():
        return case()(laws.outside_ball, laws.points(4), np.zeros(4, int))

    alone = result()
    monkeypatch.setattr(devices, "_SMALL_WORK", 0)
    monkeypatch.setattr(devices, "_available", lambda: 3)
    assert same_result(alone, result())


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.attack is not RayS])
def test_the_seed_alone_determines_the_result(case):
    before = np.random.get_state()[1].tobytes()
    queried = []

    def model(rows):
        queried[-1] += rows.tobytes()
        return laws.outside_ball(rows)

    results = []
    for seed in (1, 1, -1, 2**80):
        queried.append(b"")
        results.append(case(seed=seed)(model, laws.points(2), [0, 0]))
    assert same_result(results[0], results[1])
    assert queried[0] == queried[1]
    assert len(set(queried)) == 3, "the points that are queried: other seeds may find the same distance"
    assert np.random.get_state()[1].tobytes() == before


@pytest.mark.parametrize(
    ("case", "after"), [pytest.param(c, n, id=f"{name}-{n}") for name, c in CASES.items() for n in c.interrupts]
)
def test_resumed_after_an_interrupt_equals_uninterrupted(case, after, tmp_path, monkeypatch):
    monkeypatch.setattr("attacks.surfree._ROUNDS", 16)  # so that there are snapshots
    laws.resumes(case(**case.resumed), tmp_path / "state.npz", after)
