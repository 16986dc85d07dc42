"""Saved votes come back bit for bit; what is not a file of saved votes is refused with a sentence."""

import os
import pickle

import numpy as np
import pytest

from scd import SCDClassifier
from scd.storage import load_votes, save_votes


@pytest.fixture(scope="module")
def model(digits):
    settings = {"loss": "ce", "hidden_nodes": 5, "threshold_window": 9, "memory_budget": "1GiB"}
    return SCDClassifier(n_votes=3, n_iter=10, random_state=4, **settings).fit(*digits[:2])


def test_a_loaded_ensemble_has_the_saved_votes_and_parameters(model, digits, tmp_path):
    path = tmp_path / "votes.npz"
    model.save(path)
    loaded = SCDClassifier.load(path)
    assert loaded.get_params() == model.get_params()
    assert (loaded.n_features_in_, loaded.root_seed_) == (64, 4)
    for a, b in zip(loaded.votes_, model.votes_, strict=True):
        assert a.keys() == b.keys()
        assert all(a[k].dtype == b[k].dtype and a[k].tobytes() == b[k].tobytes() for k in a)
    np.testing.assert_array_equal(loaded.votes(digits[2]), model.votes(digits[2]))
    np.testing.assert_array_equal(loaded.predict(digits[2]), model.predict(digits[2]))


@pytest.mark.parametrize("labels", [["cat", "dog"], [-1, 1], [False, True]])
def test_classes_keep_their_values_and_type(digits, tmp_path, labels):
    y = np.array(labels)[digits[1]]
    model = SCDClassifier(n_votes=1, n_iter=2).fit(digits[0], y)
    model.save(tmp_path / "votes.npz")
    loaded = SCDClassifier.load(tmp_path / "votes.npz")
    assert loaded.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(digits[0]), model.predict(digits[0]))


def test_the_file_contains_no_pickle(model, tmp_path):
    model.save(tmp_path / "votes.npz")
    with np.load(tmp_path / "votes.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_a_loaded_ensemble_grows_like_the_one_saved(model, digits, tmp_path):
    model.save(tmp_path / "votes.npz")
    grown = SCDClassifier.load(tmp_path / "votes.npz").set_params(warm_start=True, n_votes=5).fit(*digits[:2])
    whole = SCDClassifier(**{**model.get_params(), "n_votes": 5}).fit(*digits[:2])
    np.testing.assert_array_equal(grown.votes(digits[2]), whole.votes(digits[2]))


def _truncated(data, offset):
    return data[: len(data) * 2 // 3]


def _flipped(data, offset):
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


DAMAGES = {
    "truncated": _truncated,
    "one bit of a weight": _flipped,
    "empty": lambda data, offset: b"",
    "text": lambda data, offset: b"votes",
    "pickle": lambda data, offset: pickle.dumps({"votes": 3}),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # NumPy leaves a truncated file open
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(model, tmp_path, damage):
    path = tmp_path / "votes.npz"
    model.save(path)
    data = path.read_bytes()
    offset = data.index(model.votes_[1]["hidden"].tobytes()) + 10
    path.write_bytes(DAMAGES[damage](data, offset))
    with pytest.raises(ValueError, match=r"votes.npz is damaged or not a file of saved votes"):
        SCDClassifier.load(path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "images.npz", images=np.zeros(3))
    with pytest.raises(ValueError, match=r"images.npz is damaged or not a file of saved votes"):
        SCDClassifier.load(tmp_path / "images.npz")


def test_a_file_of_one_array_is_refused(tmp_path):
    with (tmp_path / "votes.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"votes.npz is damaged or not a file of saved votes"):
        SCDClassifier.load(tmp_path / "votes.npz")


def test_numpy_numbers_among_the_parameters_are_saved(digits, tmp_path):
    model = SCDClassifier(n_votes=np.int64(2), step_hidden=np.float32(0.5), rollback=np.bool_(True), n_iter=2)
    model.fit(*digits[:2]).save(tmp_path / "votes.npz")
    loaded = SCDClassifier.load(tmp_path / "votes.npz")
    assert (loaded.n_votes, loaded.step_hidden, loaded.rollback) == (2, 0.5, True)


def test_votes_of_another_class_are_refused(model, tmp_path):
    class OtherVotes(SCDClassifier):
        pass

    model.save(tmp_path / "votes.npz")
    with pytest.raises(ValueError, match=r"votes.npz holds a SCDClassifier, not a OtherVotes."):
        OtherVotes.load(tmp_path / "votes.npz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file of saved votes at .*missing.npz"):
        SCDClassifier.load(tmp_path / "missing.npz")


def test_a_failed_save_keeps_the_old_file_and_leaves_nothing_behind(model, tmp_path, monkeypatch):
    path = tmp_path / "votes.npz"
    save_votes(path, model.votes_, {"note": "old"})

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_votes(path, model.votes_, {"note": "new"})
    assert load_votes(path)[1]["note"] == "old"
    assert os.listdir(tmp_path) == ["votes.npz"]
