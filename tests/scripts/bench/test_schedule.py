"""The simulated clocks drive the engine's own queue: the same makespans as by hand, whatever the machine does."""

import numpy as np
import pytest

from scripts.bench.schedule import Times, makespan, measure_times


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_equal_pieces_keep_all_threads_busy_to_the_last_round(threads):
    rounds = -(-12 * 5 // threads) if threads <= 3 else 8  # 60 pieces: 8 threads do 7.5 rounds
    assert makespan([[1.0] * 5] * 12, threads) == pytest.approx(rounds)


def test_more_threads_than_votes_take_the_time_of_the_longest_vote():
    assert makespan([[1.0, 2.0], [4.0], [0.5] * 3], 16) == pytest.approx(4.0)


def test_a_thread_takes_the_vote_that_has_waited_longest():
    # thread a: vote 0 until 3, then vote 0 again until 6; b: vote 1 until 1, vote 2 until 2, then vote 1 until 3
    assert makespan([[3.0, 3.0], [1.0, 1.0], [1.0]], 2) == pytest.approx(6.0)
    assert makespan([[2.0], [2.0], [2.0]], 2) == pytest.approx(4.0)  # one piece each: nothing to share out


def test_the_part_that_one_core_does_is_paid_by_every_call():
    times = Times(alone=1.0, starts=[0.5], pieces=[[1.0, 1.0]])
    assert times.seconds([range(4)], 1) == pytest.approx(1 + 4 * 2.5)
    assert times.seconds([range(4)], 4) == pytest.approx(1 + 2.5)
    assert times.seconds([range(2), range(2, 4)], 4) == pytest.approx(2 * (1 + 2.5))


def test_the_pieces_are_those_of_training_with_their_measured_times():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = np.clip(rng.random((120, 6)) + 0.3 * (y[:, None] - 0.5), 0, 1).astype(np.float32)
    times = measure_times(x, y, {"n_iter": 60, "hidden_nodes": 2})
    assert [len(pieces) for pieces in times.pieces] == [3] * len(times.starts)  # 25, 25 and 10 iterations
    assert min(min(pieces) for pieces in times.pieces) > 0
