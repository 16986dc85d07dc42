"""Seeds depend on the root and the names alone."""

import hashlib

import numpy as np

from scd.seeds import generator_for, seed_for, stream_key, vote_seed


def test_a_seed_is_stable():
    """Golden: first 8 bytes of SHA-256 of "0", "vote", "3" joined by U+001F, little endian, shifted right by one."""
    assert seed_for(0, "vote", 3) == 379119221111974143
    assert seed_for(np.int64(0), "vote", np.int32(3)) == 379119221111974143


def test_root_names_and_their_order_matter():
    seeds = [
        seed_for(0),
        seed_for(1),
        seed_for(0, "a"),
        seed_for(0, "a", "b"),
        seed_for(0, "b", "a"),
        seed_for(0, "ab"),
    ]
    seeds += [seed_for(0, "vote", i) for i in range(1000)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_repeats_its_draws():
    first, second = (generator_for(5, "vote", 1).standard_normal(4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, generator_for(5, "vote", 2).standard_normal(4))


def test_global_generators_are_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    generator_for(5, "vote", 1).random(10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_vote_seed_fits_scikit_learn():
    """Golden: the lowest 32 bits of the seed named "vote" and 3."""
    assert vote_seed(0, 3) == seed_for(0, "vote", 3) % 2**32 == 1172760831


def test_a_stream_key_is_stable():
    """Golden: BLAKE2b of 16 bytes over ``[0, 5, 1, 'direction', 7]``, as two little-endian numbers."""
    key = stream_key(np.int64(0), 5, 1, "direction", 7)
    assert key.tolist() == [18067232417658097188, 5529828890173913243]
    assert hashlib.blake2b(b"[0, 5, 1, 'direction', 7]", digest_size=16).digest() == key.astype("<u8").tobytes()
    assert key.tolist() != stream_key("0", 5, 1, "direction", 7).tolist()
