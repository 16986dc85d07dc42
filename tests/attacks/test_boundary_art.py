"""The Boundary Attack compared with that of ART 1.20.1: the same path for the same noise, its faults absent."""

import random

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks.boundary import BoundaryAttack, Mover
from attacks.boundary_art import BoundaryAttackART
from attacks.engine.kernels.rng import NORMAL, fill_noise
from tests.attacks.half_space import HalfSpace, best_of_each_run, same_result


@pytest.fixture
def art():
    return pytest.importorskip("art", reason="ART (adversarial-robustness-toolbox) is not installed")


class Recording(Mover):
    """Keeps the noise of every move around the original, in the order of the queries."""

    noise: list

    def query(self, moves, epsilon=None):
        if epsilon is None:
            rows = np.empty((len(moves), self.search.task.x.shape[1]), dtype=np.float32)
            norm = np.empty(len(moves))
            fill_noise(self.keys, moves.run, moves.number, NORMAL, 0, len(moves), rows, norm)
            self.noise.extend(rows)
        return super().query(moves, epsilon)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_noise_gives_the_search_path_of_art(art, monkeypatch, seed):
    model, settings = HalfSpace(30, 0.2, seed), {"max_iter": 25, "restarts": 1, "seed": seed}
    monkeypatch.setattr("attacks.boundary.Mover", Recording)
    monkeypatch.setattr(Recording, "noise", [], raising=False)
    ours = BoundaryAttack(**settings)(model, model.x, [0])
    left = iter(Recording.noise)
    monkeypatch.setattr(np.random, "randn", lambda *shape: next(left).astype(np.float64).reshape(shape))
    theirs = BoundaryAttackART(**settings)(model, model.x, [0])
    assert next(left, None) is None
    np.testing.assert_allclose(theirs.extra["l2_returned"], ours.extra["l2_returned"], rtol=1e-5)
    np.testing.assert_allclose(theirs.adversarials, ours.adversarials, atol=1e-5)


def test_same_queries_and_distances_as_art_within_the_noise_of_runs(art):
    model = HalfSpace(60, 0.2, seed=1)
    settings = {"max_iter": 40, "restarts": 8, "seed": 4}
    ours, theirs = (attack(**settings)(model, model.x, [0]) for attack in (BoundaryAttack, BoundaryAttackART))
    np.testing.assert_allclose(ours.queries, theirs.queries, rtol=0.05)
    mine, other = best_of_each_run(ours), best_of_each_run(theirs)  # the starts are the same, so runs are paired
    noise = np.std(mine - other, ddof=1) / np.sqrt(len(mine))
    assert abs(mine.mean() - other.mean()) <= 3.5 * noise


def test_projection_only_shortens_and_every_query_is_counted(art):
    model = HalfSpace(60, 0.2, seed=1)
    result = BoundaryAttackART(max_iter=5, restarts=2)(model, model.x, [0])
    assert 0.2 <= result.l2[0] < result.extra["l2_returned"][0]
    assert 0 < model.beyond(result.adversarials)[0] < 1e-4 * result.l2[0]
    assert result.queries[0] + 1 == model.queried  # the last one confirms


def test_a_failed_start_is_a_failure_and_not_distance_zero(art):
    x = np.full((2, 5), 0.5)
    result = BoundaryAttackART(max_iter=2, restarts=2, init_size=3)(lambda rows: np.zeros(len(rows), int), x, [0, 1])
    assert not result.success.any()
    assert result.reason.tolist() == ["no adversarial start", "already misclassified"]
    assert np.isnan(result.l2).all()


def test_global_generators_are_left_as_they_were_and_do_not_matter(art):
    model = HalfSpace(20, 0.2, seed=2)
    results = []
    for seed in (1, 2):
        np.random.seed(seed)
        random.seed(seed)
        before = np.random.get_state()[1].tobytes(), random.getstate()
        results.append(BoundaryAttackART(max_iter=2, restarts=2)(model, model.x, [0]))
        assert (np.random.get_state()[1].tobytes(), random.getstate()) == before
    assert same_result(*results)


@pytest.mark.parametrize("clip", [(0.0, 1.0), (-1.0 / 3.0, 0.9)])
def test_nothing_outside_the_box_is_queried_or_returned(art, clip):
    laws.stays_in_the_box(BoundaryAttackART(max_iter=3, restarts=1), clip)


@pytest.mark.parametrize("after", [1, 8, 20])
def test_resumed_equals_uninterrupted(art, tmp_path, after):
    laws.resumes(BoundaryAttackART(max_iter=3, restarts=3), tmp_path / "state.npz", after)


def test_a_query_budget_is_refused():
    with pytest.raises(
        ValueError, match=r"'query_budget' parameter of BoundaryAttackART must be None\. Got 5 instead\."
    ):
        BoundaryAttackART(query_budget=5)
