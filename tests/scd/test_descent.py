"""Laws of the walk."""

import errno

import numpy as np
import pytest
import torch

from scd import SCDClassifier
from scd.descent import REFRESH, Descent
from scd.engine.feature_columns import as_columns
from scd.engine.parameters import Settings
from scd.search import backend

SETTINGS = {
    "loss": "01",
    "weights": "real",
    "n_iter": 60,
    "hidden_nodes": 8,
    "batch_fraction": 0.75,
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
FOUR = [(loss, weights) for loss in ("01", "ce") for weights in ("real", "binary")]


def walk(digits, kernel="cpu", votes=range(3), columns=None, device="cpu", **changes):
    X, y = digits[0], digits[1]
    order = np.argsort(y, kind="stable")
    found, divisor = as_columns(X[order]) if columns is None else (columns(X[order]), 1.0)
    settings = Settings(**{**SETTINGS, **changes})
    return Descent(
        torch.from_numpy(found).to(device), divisor, int((y == 0).sum()), settings, votes, 0, backend(kernel)
    )


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_the_best_score_never_falls_within_a_score_phase(digits, loss, weights):
    descent = walk(digits, loss=loss, weights=weights)
    half, best = descent.settings.n_iter // 2, []
    for _ in descent.steps():
        combined = len(best) >= half
        best.append(descent.score.score(descent.best_right, combined).numpy())
        assert (best[-1] >= descent.score.score(descent.right(), combined).numpy()).all()
    for phase in (best[:half], best[half:]):
        assert (np.diff(np.array(phase), axis=0) >= 0).all()


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_counts_and_sums_are_those_of_the_networks(digits, loss, weights):
    """The best networks, applied anew to the training rows, are right as often as was counted during the walk."""
    descent = walk(digits, loss=loss, weights=weights, n_iter=40)
    networks = descent.run()
    rows = descent.columns.float() / descent.divisor
    for v in range(3):
        on = networks.hidden[v].double() @ rows.double() > networks.thresholds[v][:, None].double()
        predicted = networks.output[v] @ on.double() > networks.output_threshold[v]
        right = predicted == descent.labels.bool()
        counted = descent.best_right[v].tolist()
        assert [int(right[: descent.negatives].sum()), int(right[descent.negatives :].sum())] == counted


@pytest.mark.parametrize(("loss", "weights"), FOUR)
def test_cached_projections_agree_with_fresh_ones_after_many_iterations(digits, loss, weights):
    descent = walk(digits, loss=loss, weights=weights, n_iter=REFRESH - 1, votes=range(1))
    descent.run()
    fresh = descent.kernel.project(descent.columns, descent.now.hidden, descent.divisor)
    torch.testing.assert_close(descent.projections, fresh, rtol=1e-5, atol=1e-5 * float(fresh.abs().max()))


@pytest.mark.parametrize("init", ["normal", "uniform"])
def test_real_weights_keep_unit_norm_under_the_zero_one_loss(digits, init):
    descent = walk(digits, n_iter=300, init_weights=init, votes=range(2))
    for _ in descent.steps():
        pass
    for networks in (descent.now, descent.best):
        torch.testing.assert_close(networks.hidden.norm(dim=2), torch.ones(2, 8), rtol=0, atol=1e-5)
        ones = torch.ones(2, dtype=torch.float64)
        torch.testing.assert_close(networks.output.norm(dim=1), ones, rtol=0, atol=1e-5)


def test_cross_entropy_normalises_at_the_start_only(digits):
    descent = walk(digits, loss="ce", n_iter=100)
    torch.testing.assert_close(descent.now.hidden.norm(dim=2), torch.ones(3, 8), rtol=0, atol=1e-5)
    descent.run()
    assert (descent.now.hidden.norm(dim=2) - 1).abs().max() > 0.01


@pytest.mark.parametrize("loss", ["01", "ce"])
@pytest.mark.parametrize("init", ["normal", "uniform"])
def test_binary_weights_stay_plus_and_minus_one(digits, loss, init):
    descent = walk(digits, loss=loss, weights="binary", init_weights=init, n_iter=100)
    start = descent.now.clone()
    descent.run()
    for networks in (start, descent.now, descent.best):
        assert torch.equal(networks.hidden.abs(), torch.ones_like(networks.hidden))
        assert torch.equal(networks.output.abs(), torch.ones_like(networks.output))
    assert not torch.equal(start.hidden, descent.now.hidden)


@pytest.mark.parametrize(("loss", "weights"), FOUR)
@pytest.mark.parametrize("nodes", [1, 3])
def test_with_rollback_the_walk_stands_at_the_best_network(digits, loss, weights, nodes):
    descent = walk(digits, loss=loss, weights=weights, rollback=True, nodes_per_iter=nodes)
    for _ in descent.steps():
        assert torch.equal(descent.right(), descent.best_right)
    for name in ("hidden", "thresholds", "output", "output_threshold"):
        assert torch.equal(getattr(descent.now, name), getattr(descent.best, name)), name
    assert torch.equal(descent.kernel.activations(descent.projections, descent.now.thresholds), descent.active)


def test_without_rollback_the_walk_goes_on_from_the_latest_state(digits):
    descent, worse = walk(digits), 0
    for _ in descent.steps():
        combined = descent.iteration > 30  # the iteration just ended was number 30 or later
        worse += int(
            (descent.score.score(descent.right(), combined) < descent.score.score(descent.best_right, combined)).sum()
        )
    assert worse > 0


@pytest.mark.parametrize(("fraction", "expected"), [(1.0, 1.0), (0.75, 0.75), (0.25, 0.25), (1e-6, 0.0)])
def test_a_batch_holds_the_same_share_of_each_class(digits, fraction, expected):
    descent = walk(digits, batch_fraction=fraction)
    batch, k = descent.draws.next().batch, descent.negatives
    for part in (batch[:, :k], batch[:, k:]):
        assert (part.sum(1) == max(1, round(expected * part.shape[1]))).all()
    assert fraction == 1.0 or not torch.equal(batch[0], batch[1])


def test_draws_do_not_depend_on_how_many_are_drawn_at_a_time(digits):
    one, many = (walk(digits, nodes_per_iter=2).draws for _ in range(2))
    many.block = 4
    for _ in range(10):
        for first, second in zip(one.next(), many.next(), strict=True):
            assert torch.equal(first, second)


def test_only_the_chosen_networks_and_nodes_are_copied(digits):
    descent = walk(digits)
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
    descent = walk(digits, loss=loss, weights=weights, nodes_per_iter=2)
    best, right, times = descent.now.clone(), descent.best_right, 0
    for _ in descent.steps():
        improved = (descent.best_right != right).any(1)
        for name in ("hidden", "thresholds", "output", "output_threshold"):
            getattr(best, name)[improved] = getattr(descent.now, name)[improved]
            assert torch.equal(getattr(best, name), getattr(descent.best, name)), name
        right, times = descent.best_right, times + int(improved.sum())
    assert times > 10


@pytest.mark.parametrize("window", [None, 3])
def test_bytes_and_floats_of_the_same_rows_give_the_same_networks(digits, window):
    first = walk(digits, threshold_window=window).run()
    second = walk(digits, threshold_window=window, columns=lambda X: np.ascontiguousarray(X.T)).run()
    for name in ("hidden", "thresholds", "output", "output_threshold"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_rows_become_bytes_only_where_nothing_is_lost():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (50, 7)).astype(np.float32)
    levels[0, 0] = 255
    for divisor in (255.0, 1.0):
        columns, found = as_columns(levels / np.float32(divisor))
        assert (columns.dtype, found) == (np.uint8, divisor)
        np.testing.assert_array_equal(columns.astype(np.float32) / np.float32(found), (levels / np.float32(divisor)).T)
    spoiled = levels / np.float32(255)
    spoiled[-1, -1] = np.nextafter(spoiled[-1, -1], np.float32(2))
    columns, found = as_columns(spoiled)
    assert (columns.dtype, found) == (np.float32, 1.0)
    np.testing.assert_array_equal(columns, spoiled.T)
    assert as_columns(-levels)[0].dtype == np.float32


@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("scale", [1, 0.3])
def test_columns_of_rows_in_another_order_also_from_and_to_a_memory_map(tmp_path, scale, memory):
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 256, (2500, 7)) * scale / 255).astype(np.float32)
    mapped = np.memmap(tmp_path / "rows", dtype=np.float32, mode="w+", shape=rows.shape)
    mapped[:] = rows
    order = rng.permutation(len(rows))
    columns, divisor = as_columns(mapped, order, memory)
    assert isinstance(columns, np.memmap) == (memory == 1)
    assert columns.dtype == (np.uint8 if scale == 1 else np.float32)
    np.testing.assert_array_equal(columns.astype(np.float32) / np.float32(divisor), rows[order].T)


def test_a_fit_of_columns_on_disk_is_the_same_and_a_full_disk_is_said(digits, monkeypatch):
    X, y = digits[:2]
    small = {"n_votes": 2, "n_iter": 20, "random_state": 0}
    first, second = SCDClassifier(**small).fit(X, y), SCDClassifier(**small, memory_budget=1000).fit(X, y)
    for one, other in zip(first.votes_, second.votes_, strict=True):
        np.testing.assert_array_equal(one["hidden"], other["hidden"])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"columns take .* bytes, more than memory_budget, .*No space left.*move TMPDIR"):
        SCDClassifier(**small, memory_budget=1000).fit(X, y)
