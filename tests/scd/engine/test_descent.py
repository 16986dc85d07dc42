"""Laws of the descent."""

from functools import partial

import numpy as np
import pytest
import torch

from scd.engine.parameters import NAMES, Settings
from scd.engine.samples.feature_columns import as_columns
from scd.engine.training import REFRESH, training_with
from scd.search import backend, reference
from tests.scd.search import cpu_kernel

SETTINGS = {
    "loss": "01",
    "weights": "real",
    "n_iter": 60,
    "hidden_nodes": 8,
    "batch_fraction": 0.75,
    "batch_size": None,
    "features_per_step": 16,
    "step_hidden": 0.17,
    "step_output": 0.2,
    "threshold_window": None,
    "init_thresholds": "median",
    "init_weights": "normal",
    "balanced_fraction": 0.5,
    "rollback": False,
    "nodes_per_iter": 1,
}
rare = partial(pytest.param, marks=pytest.mark.thorough)  # options that are compiled for themselves
FOUR = [(loss, weights) for loss in ("01", "ce") for weights in ("real", "binary")]


def descent_of(digits, kernel="cpu", votes=range(3), columns=None, device="cpu", **changes):
    X, y = digits[0], digits[1]
    order = np.argsort(y, kind="stable")
    found, divisor = as_columns(X[order]) if columns is None else (columns(X[order]), 1.0)
    settings = Settings(**{**SETTINGS, **changes})
    return training_with(backend(kernel))(
        found, divisor, int((y == 0).sum()), settings, votes, 0, backend(kernel), device=device
    )


def assert_same(first, second):
    """The same networks to the bit, as arrays or as tensors."""
    for name in NAMES:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_the_best_score_never_falls_within_a_score_phase(digits, loss, weights):
    descent = descent_of(digits, loss=loss, weights=weights)
    half, best = descent.settings.n_iter // 2, []
    for _ in descent.steps():
        combined = len(best) >= half
        best.append(descent.score.score(descent.best_correct, combined))
        assert (best[-1] >= descent.score.score(descent.correct(), combined)).all()
    for phase in (best[:half], best[half:]):
        assert (np.diff(np.array(phase), axis=0) >= 0).all()


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_counts_and_sums_are_those_of_the_networks(digits, loss, weights):
    """The best networks, applied again to the training samples, are correct as often as was counted in training."""
    descent = descent_of(digits, loss=loss, weights=weights, n_iter=40)
    networks = descent.run()
    rows = (descent.columns.astype(np.float32) / np.float32(descent.divisor)).astype(np.float64)
    for v in range(3):
        on = networks.hidden[v].astype(np.float64) @ rows > networks.thresholds[v][:, None].astype(np.float64)
        predicted = networks.output[v] @ on.astype(np.float64) > networks.output_threshold[v]
        correct = predicted == (np.arange(rows.shape[1]) >= descent.negatives)
        counted = descent.best_correct[v].tolist()
        assert [int(correct[: descent.negatives].sum()), int(correct[descent.negatives :].sum())] == counted


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_cached_projections_agree_with_recomputed_ones_after_many_iterations(digits, loss, weights):
    descent = descent_of(digits, loss=loss, weights=weights, n_iter=REFRESH - 1, votes=range(1))
    descent.run()
    tensors = (torch.from_numpy(array) for array in (descent.columns, descent.now.hidden))
    fresh = reference.project(*tensors, descent.divisor).numpy()
    np.testing.assert_allclose(descent.projections, fresh, rtol=1e-5, atol=1e-5 * np.abs(fresh).max())


@pytest.mark.parametrize("init", ["normal", "uniform"])
def test_real_weights_keep_unit_norm_under_the_zero_one_loss(digits, init):
    descent = descent_of(digits, n_iter=300, init_weights=init, votes=range(2))
    for _ in descent.steps():
        pass
    for networks in (descent.now, descent.best):
        np.testing.assert_allclose(np.linalg.norm(networks.hidden, axis=2), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(networks.output, axis=1), 1, atol=1e-5)


def test_cross_entropy_normalises_at_the_start_only(digits):
    descent = descent_of(digits, loss="ce", n_iter=100)
    np.testing.assert_allclose(np.linalg.norm(descent.now.hidden, axis=2), 1, atol=1e-5)
    descent.run()
    assert np.abs(np.linalg.norm(descent.now.hidden, axis=2) - 1).max() > 0.01


@pytest.mark.parametrize("loss", ["01", "ce"])
@pytest.mark.parametrize("init", ["normal", "uniform"])
def test_binary_weights_stay_plus_and_minus_one(digits, loss, init):
    descent = descent_of(digits, loss=loss, weights="binary", init_weights=init, n_iter=100)
    start = descent.now.clone()
    descent.run()
    for networks in (start, descent.now, descent.best):
        assert (np.abs(networks.hidden) == 1).all()
        assert (np.abs(networks.output) == 1).all()
    assert not np.array_equal(start.hidden, descent.now.hidden)


@pytest.mark.thorough
@pytest.mark.parametrize(("loss", "weights"), FOUR)
@pytest.mark.parametrize("nodes", [1, 3])
def test_with_rollback_the_present_network_is_the_best(digits, loss, weights, nodes):
    descent = descent_of(digits, loss=loss, weights=weights, rollback=True, nodes_per_iter=nodes)
    for _ in descent.steps():
        assert np.array_equal(descent.correct(), descent.best_correct)
    assert_same(descent.now, descent.best)
    for projections, thresholds, active in zip(
        descent.projections, descent.now.thresholds, descent.active, strict=True
    ):
        assert np.array_equal(descent.kernel.activations(projections, thresholds), active)


def test_without_rollback_training_continues_from_the_latest_network(digits):
    descent, worse = descent_of(digits), 0
    for _ in descent.steps():
        combined = descent.iteration > 30  # the iteration just ended was number 30 or later
        now, best = (descent.score.score(x, combined) for x in (descent.correct(), descent.best_correct))
        worse += int((now < best).sum())
    assert worse > 0


@pytest.mark.parametrize(("fraction", "expected"), [(1.0, 1.0), (0.75, 0.75), (0.25, 0.25), (1e-6, 0.0)])
def test_a_batch_has_the_same_fraction_of_each_class(digits, fraction, expected):
    descent = descent_of(digits, batch_fraction=fraction)
    next(descent.steps())
    batch, k = np.stack([state.batch for state in descent.states]), descent.negatives
    for part in (batch[:, :k], batch[:, k:]):
        assert (part.sum(1) == max(1, round(expected * part.shape[1]))).all()
    assert fraction == 1.0 or not np.array_equal(batch[0], batch[1])


def test_draws_do_not_depend_on_how_many_are_drawn_at_a_time(digits):
    one, many = (descent_of(digits, "reference", nodes_per_iter=2).draws for _ in range(2))
    many.block = 4
    for _ in range(10):
        for first, second in zip(one.next(), many.next(), strict=True):
            assert torch.equal(first, second)


def test_only_the_chosen_networks_and_nodes_are_copied(digits):
    descent = descent_of(digits, "reference", n_iter=20)
    copied, mask = descent.now.clone(), torch.tensor([True, False, True])
    nodes = torch.rand(copied.thresholds.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    descent.run()
    before = copied.clone()
    copied.copy_from(descent.best, mask, nodes)
    for name in ("thresholds", "output", "output_threshold"):
        assert torch.equal(getattr(copied, name)[mask], getattr(descent.best, name)[mask])
        assert torch.equal(getattr(copied, name)[~mask], getattr(before, name)[~mask])
    inside = nodes & mask[:, None]
    assert inside.any()
    assert torch.equal(copied.hidden[inside], descent.best.hidden[inside])
    assert torch.equal(copied.hidden[~inside], before.hidden[~inside])


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_the_best_network_is_all_of_what_was_the_best(digits, loss, weights):
    """Although only nodes that changed since are copied."""
    descent = descent_of(digits, loss=loss, weights=weights, nodes_per_iter=2)
    best, correct, times = descent.now.clone(), descent.best_correct.copy(), 0
    for _ in descent.steps():
        improved = (descent.best_correct != correct).any(1)
        for name in NAMES:
            getattr(best, name)[improved] = getattr(descent.now, name)[improved]
        assert_same(best, descent.best)
        correct, times = descent.best_correct.copy(), times + int(improved.sum())
    assert times > 10


@pytest.mark.parametrize("weights", ["real", "binary"])
@pytest.mark.parametrize(("window", "rollback"), [(None, False), rare(3, False), rare(None, True)])
@pytest.mark.parametrize("step", [0.2, 3.3])  # of the latter, sums move by no integer number of bins
def test_compiled_iterations_give_the_networks_of_the_reference(digits, weights, window, rollback, step, monkeypatch):
    monkeypatch.setattr(reference, "project", cpu_kernel.project)  # whose sums have the same order of roundings
    case = {"weights": weights, "threshold_window": window, "rollback": rollback, "step_output": step, "n_iter": 40}
    case |= {"init_thresholds": "searched", "nodes_per_iter": 2, "hidden_nodes": 5, "balanced_fraction": 0.3}
    rows = digits[0][:150], digits[1][:150]
    first, second = (descent_of(rows, kernel, **case) for kernel in ("cpu", "reference"))
    networks = [descent.run() for descent in (first, second)]
    assert_same(*networks)
    np.testing.assert_array_equal(first.best_correct, second.best_correct)


@pytest.mark.parametrize("size", [60, 700])  # the latter are drawn as runs of samples
def test_batches_of_a_given_size_give_the_networks_of_the_reference(digits, size, monkeypatch):
    monkeypatch.setattr(reference, "project", cpu_kernel.project)
    rows = np.tile(digits[0], (4, 1)), np.tile(digits[1], 4)
    first, second = (descent_of(rows, kernel, batch_size=size, n_iter=30) for kernel in ("cpu", "reference"))
    assert_same(first.run(), second.run())


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_networks_do_not_depend_on_the_threads(digits, loss, weights):
    """Nor on how many iterations are done at a time."""
    one, many = (descent_of(digits, loss=loss, weights=weights, votes=range(5)) for _ in range(2))
    for _ in one.steps():
        pass
    many.threads = 3
    many.run()
    assert_same(one.best, many.best)


@pytest.mark.thorough
def test_sums_that_32_bits_cannot_hold_are_counted_in_64(digits):
    """Rows that weigh 2**30 give the networks of rows that weigh 1."""
    large, small = (descent_of(digits, n_iter=20) for _ in range(2))
    large.task = large.task._replace(balanced=(2**30, 2**30), combined=(2**30, 2**30))
    small.task = small.task._replace(balanced=(1, 1), combined=(1, 1))
    networks = [each.run() for each in (large, small)]
    assert_same(*networks)


def test_an_error_in_a_thread_ends_the_fit_and_the_other_threads(digits):
    descent = descent_of(digits, n_iter=10_000)
    descent.threads = 2

    def fail(v):
        raise MemoryError("full")

    begun, descent._advance = descent._advance, lambda v, until: fail(v) if v == 1 else begun(v, until)
    with pytest.raises(MemoryError, match="full"):
        descent.run()
    assert all(state.at[0] < 10_000 for state in descent.states)


@pytest.mark.parametrize("window", [None, rare(3)])
def test_bytes_and_floats_of_the_same_samples_give_the_same_networks(digits, window):
    first = descent_of(digits, threshold_window=window).run()
    second = descent_of(digits, threshold_window=window, columns=lambda X: np.ascontiguousarray(X.T)).run()
    assert_same(first, second)
