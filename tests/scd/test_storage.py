"""Saved votes come back bit for bit; what is not a file of saved votes is refused with a sentence."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest

from scd import SCDClassifier
from scd.storage import load_votes, save_votes


@pytest.fixture(scope="module")
def model(digits):
    settings = {"loss": "ce", "hidden_nodes": 5, "features_per_step": 9, "memory_budget": "1GiB"}
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
    model = SCDClassifier(n_votes=np.int64(2), step_hidden=np.float32(0.5), warm_start=np.bool_(True), n_iter=2)
    model.fit(*digits[:2]).save(tmp_path / "votes.npz")
    loaded = SCDClassifier.load(tmp_path / "votes.npz")
    assert (loaded.n_votes, loaded.step_hidden, loaded.warm_start) == (2, 0.5, True)


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


@pytest.fixture(scope="module")
def named(digits):
    table = pd.DataFrame(digits[0], columns=[f"pixel{j}" for j in range(64)])
    return SCDClassifier(n_votes=2, n_iter=5, random_state=0).fit(table, digits[1]), table


def test_names_of_columns_travel_with_the_votes(named, tmp_path):
    model, table = named
    model.save(tmp_path / "votes.npz")
    loaded = SCDClassifier.load(tmp_path / "votes.npz")
    reordered = table[table.columns[::-1]]
    again = loaded.subset(1).use_votes(loaded.votes_)
    for each in (model, loaded, loaded.subset(1), again):
        np.testing.assert_array_equal(each.feature_names_in_, table.columns)
        with pytest.raises(ValueError, match="feature names should match"):
            each.predict(reordered)
    np.testing.assert_array_equal(loaded.predict(table), model.predict(table))
    assert not hasattr(loaded.use_votes([{**v, "hidden": v["hidden"][:, :9]} for v in model.votes_], (0, 1), 9),
                       "feature_names_in_")  # fmt: skip


def test_growth_refuses_reordered_columns_and_keeps_the_names(named, digits):
    table = named[1]
    grown = SCDClassifier(n_votes=2, n_iter=5, random_state=0).fit(table, digits[1])
    grown.set_params(warm_start=True, n_votes=3)
    with pytest.raises(ValueError, match="feature names should match"):
        grown.fit(table[table.columns[::-1]], digits[1])
    np.testing.assert_array_equal(grown.feature_names_in_, table.columns)
    grown.fit(digits[0], digits[1])
    np.testing.assert_array_equal(grown.feature_names_in_, table.columns)


def test_a_file_without_names_has_none_after_loading(model, digits, tmp_path):
    model.save(tmp_path / "votes.npz")
    assert not hasattr(SCDClassifier.load(tmp_path / "votes.npz"), "feature_names_in_")


NETWORK_DAMAGES = {
    "short thresholds": ("thresholds", lambda a: a[:-1]),
    "short output": ("output", lambda a: a[:-1]),
    "fewer features": ("hidden", lambda a: a[:, :-1]),
    "an axis too many": ("hidden", lambda a: a[None]),
    "NaN": ("output", lambda a: np.full_like(a, np.nan)),
    "infinity": ("output_threshold", lambda a: a + np.inf),
    "text": ("thresholds", lambda a: a.astype(str)),
    "complex numbers": ("hidden", lambda a: a.astype(complex)),
}


@pytest.mark.parametrize("damage", NETWORK_DAMAGES)
def test_crafted_votes_are_refused_with_their_number_and_array(model, tmp_path, damage):
    name, change = NETWORK_DAMAGES[damage]
    model.save(tmp_path / "votes.npz")
    votes, meta = load_votes(tmp_path / "votes.npz")
    votes[1][name] = change(votes[1][name])
    save_votes(tmp_path / "crafted.npz", votes, meta)
    with pytest.raises(ValueError, match=rf"crafted.npz is damaged .*: Vote 1 of SCDClassifier .*'{name}'"):
        SCDClassifier.load(tmp_path / "crafted.npz")


def test_a_vote_without_an_array_is_refused(model):
    first, second = (dict(vote) for vote in model.votes_[:2])
    del second["output"]
    with pytest.raises(ValueError, match=r"Vote 1 of SCDClassifier cannot be used: its array 'output' is missing"):
        SCDClassifier().use_votes([first, second], (0, 1), 64)
    with pytest.raises(ValueError, match=r"needs at least one vote"):
        SCDClassifier().use_votes([], (0, 1), 64)


@pytest.mark.parametrize(
    "meta",
    [
        {"votes": 10**9}, {"votes": True}, {"classes": [0]}, {"classes": [1, 1]}, {"n_features": "64"},
        {"n_features": 63}, {"root_seed": None}, {"params": {"unknown": 1}}, {"params": {"n_iter": -1}},
        {"params": [1]}, {"feature_names": ["a"]}, {"feature_names": [1] * 64}, {"classes_dtype": "no type"},
    ],
)  # fmt: skip
def test_crafted_facts_about_the_votes_are_refused(model, tmp_path, meta):
    model.save(tmp_path / "votes.npz")
    votes, known = load_votes(tmp_path / "votes.npz")
    save_votes(tmp_path / "crafted.npz", votes, {**known, **meta})
    with pytest.raises(ValueError, match=r"crafted.npz is damaged or not a file of saved votes"):
        SCDClassifier.load(tmp_path / "crafted.npz")


def test_numbers_of_votes_that_are_not_theirs_are_refused(tmp_path):
    for key in ("-1/a", "1/a", "x/a"):
        facts = np.frombuffer(b'{"votes": 1}', dtype=np.uint8)
        np.savez(tmp_path / "crafted.npz", **{key: np.zeros(1), "meta.json": facts})
        with pytest.raises(ValueError, match=r"vote 0 is missing"):
            load_votes(tmp_path / "crafted.npz")
