"""Which errors are sentences, and which suggestions they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.errors import UserError, did_you_mean, is_out_of_memory, sentence_for


def test_failed_allocations_are_recognised():
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(1 << 60, dtype=np.uint8)
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 60, dtype=torch.uint8)
    errors = [of_numpy.value, of_torch.value, torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")]
    errors += [RuntimeError("CUDA error: out of memory"), RuntimeError("Triton Error [CUDA]: out of memory")]
    for error in errors:
        assert is_out_of_memory(error), error
        assert sentence_for(error)[0].startswith("not enough memory: ")
        assert sentence_for(error)[0].endswith("e.g. memory_budget=500MiB.")


def test_other_errors_keep_their_traceback():
    for error in (RuntimeError("the allocation of points failed"), ValueError("alloc"), KeyError("x")):
        assert not is_out_of_memory(error)
        assert sentence_for(error) is None


def test_expected_errors_have_a_sentence_and_a_status():
    assert sentence_for(UserError("bad", 2)) == ("bad", 2)
    full = OSError(28, "No space left on device", "/x/y")
    assert sentence_for(full) == (
        "No space left on device (/x/y). Completed work was saved. Fix the problem and run the same command again.", 1
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model.batch_fractoin", " Did you mean model.batch_fraction?"),
        ("n_iter", " Did you mean model.n_iter or scale.n_iter?"),
        ("sede", " Did you mean seed?"),
        ("nothing.like.it", ""),
    ],
)
def test_a_mistyped_key_gets_the_closest_known_one(name, hint):
    known = ["seed", "model.n_iter", "scale.n_iter", "model.batch_fraction", "attack.max_iter"]
    assert did_you_mean(name, known) == hint
