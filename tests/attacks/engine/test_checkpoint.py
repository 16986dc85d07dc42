"""A killed attack continues and ends with the numbers of one that was not killed."""

import re
import shutil

import numpy as np
import pytest

from attacks import HopSkipJump
from attacks.engine import checkpoint
from tests.attacks.attack_laws import Counting
from tests.attacks.half_space import HalfSpace, same_result

SETTINGS = {"max_iter": 4, "restarts": 3, "init_eval": 20, "memory_budget": 16 * 40 * 16}


def test_interrupted_again_and_again_equals_uninterrupted(tmp_path):
    model = HalfSpace(40, 0.2, seed=1)
    attack = HopSkipJump(query_budget=700, **SETTINGS)
    whole = attack(model, model.x, [0])
    for _ in range(1000):
        try:
            resumed = attack(Counting(model, 7), model.x, [0], state=tmp_path / "state.npz")
            break
        except KeyboardInterrupt:
            continue
    assert same_result(whole, resumed)


def test_a_kill_without_warning_loses_only_the_queries_since_the_last_save(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    model = HalfSpace(40, 0.2, seed=1)
    path, kept = tmp_path / "state.npz", tmp_path / "kept.npz"
    attack = HopSkipJump(**SETTINGS)
    calls = 0

    def labels(rows):
        nonlocal calls
        calls += 1
        if calls == 50:
            shutil.copy(path, kept)  # what a kill -9 at this moment would leave
        return model(rows)

    whole = attack(labels, model.x, [0], state=path)
    rest = Counting(model)
    assert same_result(whole, attack(rest, model.x, [0], state=kept))
    assert 0 < rest.rows - 8 - 1 < whole.queries.sum()  # without the look at the model and the confirmation


def test_a_finished_attack_returns_its_record_after_one_look_at_the_model(tmp_path):
    model = HalfSpace(40, 0.2, seed=1)
    attack = HopSkipJump(**SETTINGS)
    whole = attack(model, model.x, [0], state=tmp_path / "state.npz")
    assert same_result(whole, attack(Counting(model, 1), model.x, [0], state=tmp_path / "state.npz"))
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]


@pytest.mark.parametrize("change", ["seed", "x", "y", "clip"])
def test_a_state_of_another_attack_is_refused(tmp_path, change):
    model = HalfSpace(40, 0.2, seed=1)
    path = tmp_path / "state.npz"
    HopSkipJump(**SETTINGS)(model, model.x, [0], state=path)
    other = HopSkipJump(seed=1 if change == "seed" else 0, **SETTINGS)
    x = model.x + np.float32(0.01) if change == "x" else model.x
    with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
        other(model, x, [1 if change == "y" else 0], clip=(0.0, 0.9) if change == "clip" else (0.0, 1.0), state=path)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_state_is_a_warning_and_the_attack_starts_again(tmp_path, damage):
    model = HalfSpace(40, 0.2, seed=1)
    path = tmp_path / "state.npz"
    attack = HopSkipJump(**SETTINGS)
    whole = attack(model, model.x, [0], state=path)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
    path.write_bytes({"cut": content[:-100], "flip": content, "empty": b"", "text": b"not a state"}[damage])
    with pytest.warns(RuntimeWarning, match="damaged"):
        again = attack(model, model.x, [0], state=path)
    assert same_result(whole, again)


def test_an_error_names_the_missing_folder(tmp_path):
    model = HalfSpace(4, 0.2, seed=1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        HopSkipJump(**SETTINGS)(model, model.x, [0], state=tmp_path / "nowhere" / "state.npz")


def test_a_state_that_cannot_be_saved_is_a_warning_and_the_attack_goes_on(tmp_path, monkeypatch):
    def full(path, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_state", full)
    model = HalfSpace(10, 0.2, seed=1)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert HopSkipJump(**SETTINGS)(model, model.x, [0], state=tmp_path / "state.npz").success[0]


class Mirrored(HalfSpace):
    """The half-space beyond a hyperplane at the same distance on the other side of the original."""

    def __call__(self, rows):
        return (self.beyond(rows) < -2 * self.distance).astype(np.int64)


@pytest.mark.parametrize("finished", [False, True])
def test_the_state_of_another_model_is_refused_although_both_are_correct_on_the_points(tmp_path, finished):
    model, other = HalfSpace(40, 0.2, seed=1), Mirrored(40, 0.2, seed=1)
    assert model(model.x) == other(model.x) == [0]
    path, attack = tmp_path / "state.npz", HopSkipJump(**SETTINGS)
    if finished:
        attack(model, model.x, [0], state=path)
    else:
        with pytest.raises(KeyboardInterrupt):
            attack(Counting(model, 40), model.x, [0], state=path)
    sentence = (
        rf"^The attack state {re.escape(str(path))} belongs to another model: .* to [1-7] of 8 fixed inputs; give"
    )
    with pytest.raises(ValueError, match=sentence):
        attack(other, model.x, [0], state=path)
    assert same_result(attack(model, model.x, [0]), attack(model, model.x, [0], state=path))


def test_a_state_of_a_version_that_did_not_know_its_model_is_resumed(tmp_path, monkeypatch):
    model, path, attack = HalfSpace(40, 0.2, seed=1), tmp_path / "state.npz", HopSkipJump(**SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        attack(Counting(model, 30), model.x, [0], state=path)
    checkpoint.save_state(path, {n: a for n, a in checkpoint.load_state(path).items() if n != "model"})
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        attack(Counting(model, 30), model.x, [0], state=path)
    assert "model" not in checkpoint.load_state(path)
    assert same_result(attack(model, model.x, [0]), attack(model, model.x, [0], state=path))
