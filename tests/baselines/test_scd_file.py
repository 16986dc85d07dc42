"""Sign networks from files predict as the authors' programs do; a file runs no code."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from baselines.scd_file import SCDFile
from scd import SCDClassifier
from tests.baselines.authors_votes import write_votes


def authors_labels(states, X):
    """(n, V) labels as the authors' program computes them, from float32 (n, d) rows."""
    found = []
    for state in states:
        units = 0.2236 * torch.sign(torch.from_numpy(X) @ state["fc1_si.weight"].T + state["fc1_si.bias"])
        found.append((units @ state["fc2_si.weight"].T + state["fc2_si.bias"])[:, 0] > 0)
    return torch.stack(found, dim=1).numpy()


def test_the_votes_of_a_folder_are_those_of_the_authors_program_in_the_order_of_their_numbers(digits, tmp_path):
    X, y, X_test, _ = digits
    states = write_votes(tmp_path, features=64, count=11)
    model = SCDFile(str(tmp_path), n_votes=11, channels_last=False).fit(X, y)
    expected = authors_labels(states, X_test)
    assert 0.2 < expected.mean() < 0.8
    np.testing.assert_array_equal(model.votes(X_test), expected)
    np.testing.assert_array_equal(SCDFile(str(tmp_path), n_votes=3).fit(X, y).votes(X_test), expected[:, :3])


def test_images_have_their_channels_last_in_the_authors_votes(tmp_path):
    images = np.random.default_rng(0).random((40, 3, 4, 5), dtype=np.float32)
    states = write_votes(tmp_path, features=60, count=2)
    flat, y = images.reshape(40, 60), np.arange(40) % 2
    model = SCDFile(str(tmp_path), n_votes=2, feature_shape=(3, 4, 5)).fit(flat, y)
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).reshape(40, 60)
    np.testing.assert_array_equal(model.votes(flat), authors_labels(states, last))
    first = model.set_params(channels_last=False).fit(flat, y)
    np.testing.assert_array_equal(first.votes(flat), authors_labels(states, flat))


def test_it_is_attacked_and_certified_as_a_fit_is(digits, tmp_path):
    from attacks import SignPattern

    X, y, X_test, _ = digits
    trained = SCDClassifier(n_votes=5, n_iter=50, hidden_nodes=4, random_state=0).fit(X, y)
    trained.save(tmp_path / "votes.npz")
    model = SCDFile(str(tmp_path / "votes.npz"), n_votes=5).fit(X, y)
    labels = model.predict(X_test)
    np.testing.assert_array_equal(labels, trained.predict(X_test))
    lower = model.certified_radius(X_test[:5], labels[:5])
    np.testing.assert_array_equal(lower, trained.certified_radius(X_test[:5], labels[:5]))
    upper = SignPattern(rounds=1)(model.predict, X_test[:5], labels[:5], votes=model.sign_votes()).l2
    assert (lower > 0).all()
    assert (lower <= upper).all()


def test_other_files_are_other_inputs_of_the_fit(tmp_path):
    write_votes(tmp_path, features=8, count=2)
    model = SCDFile(str(tmp_path), n_votes=2)
    before = model.inputs()
    assert model.inputs() == before
    write_votes(tmp_path, features=8, count=2, seed=1)
    assert model.inputs() != before


class Loud:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return print, ("code of the file ran",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_what_cannot_be_used_is_one_sentence_and_no_code_runs(digits, tmp_path, capsys):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match=r"must be a folder with a file \*\.pt.* Got None instead"):
        SCDFile().fit(X, y)
    with pytest.raises(ValueError, match=r"must be a folder with a file \*\.pt"):
        SCDFile(str(tmp_path / "nowhere")).fit(X, y)
    write_votes(tmp_path, features=64, count=2)
    with pytest.raises(ValueError, match=r"'n_votes' parameter of SCDFile must be at most 2.*Got 3"):
        SCDFile(str(tmp_path), n_votes=3).fit(X, y)
    with pytest.raises(ValueError, match=r"its array 'hidden' must have the shape \(20, 63\)"):
        SCDFile(str(tmp_path), n_votes=1).fit(X[:, 1:], y)
    path = tmp_path / "vote_0.pt"
    whole = path.read_bytes()
    for damaged in (b"", b"no state dict", whole[: len(whole) // 2], pickle.dumps(Loud()), pickle.dumps([1])):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"vote_0\.pt is damaged or not a state dict"):
            SCDFile(str(tmp_path), n_votes=1).fit(X, y)
    torch.save({"fc1_si.weight": Loud()}, path)
    with pytest.raises(ValueError, match=r"vote_0\.pt is damaged or not a state dict"):
        SCDFile(str(tmp_path), n_votes=1).fit(X, y)
    assert "code of the file ran" not in capsys.readouterr().out
    SCDClassifier(n_votes=1, n_iter=5, hidden_nodes=2).fit(X, y).save(tmp_path / "one.npz")
    with pytest.raises(ValueError, match="must be at most 1"):
        SCDFile(str(tmp_path / "one.npz"), n_votes=2).fit(X, y)
