"""What is damaged is made again, what was killed goes on, what cannot be written is said."""

from __future__ import annotations

import json
import threading
import warnings

import numpy as np
import pandas as pd
import pytest

from tests.pipeline.small_runs import attack_folder, fit_folder, go


def test_damaged_votes_are_trained_again_to_the_same_bytes(small):
    config = small("attack=none")
    folder = fit_folder(config, go(config))
    path = sorted(folder.glob("votes_*.npz"))[-1]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match="cannot be used .its checksum does not match"):
        go(config)
    from scd.storage import load_votes

    path.with_suffix(".again").write_bytes(content)
    old, new = load_votes(path.with_suffix(".again"))[0], load_votes(path)[0]
    for a, b in zip(old, new, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_votes_whose_description_is_missing_are_trained_again(small):
    config = small("attack=none")
    folder = fit_folder(config, go(config))
    sorted(folder.glob("votes_*.json"))[0].unlink()
    (folder / ".half.tmp").write_text("left by a kill")
    with pytest.warns(UserWarning, match="missing, as after a kill"):
        go(config)
    assert not (folder / ".half.tmp").exists()


def test_a_changed_evaluation_is_made_again(small):
    config = small("attack=none")
    path = fit_folder(config, go(config)) / "evaluation_4.json"
    before = json.loads(path.read_text())
    path.write_text(path.read_text().replace('"accuracy_ensemble": 0', '"accuracy_ensemble": 1'))
    with pytest.warns(UserWarning, match="is damaged; the votes are evaluated again"):
        go(config)
    assert json.loads(path.read_text())["accuracy_ensemble"] == before["accuracy_ensemble"]


def test_damaged_attack_is_run_again_with_the_same_numbers(small):
    config = small()
    folder = attack_folder(config, go(config))
    before = pd.read_csv(folder / "examples.csv").drop(columns="seconds")
    (folder / "examples.csv").write_text("index\n")
    with pytest.warns(UserWarning, match=r"examples\.csv is damaged"):
        go(config)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "examples.csv").drop(columns="seconds"), before)


def test_interrupted_attack_goes_on_to_the_same_numbers(small, tmp_path, monkeypatch):
    """An interrupt in the middle of the attack, then the same command: equal to the run of another folder."""
    from scd import SCDClassifier

    whole = small(f"paths.outputs={tmp_path / 'whole'}")
    expected = pd.read_csv(attack_folder(whole, go(whole)) / "examples.csv").drop(columns="seconds")
    config, predict, calls = small(), SCDClassifier.predict, []

    def interrupted(self, X):
        calls.append(len(X))
        if len(calls) == 12:
            raise KeyboardInterrupt
        return predict(self, X)

    monkeypatch.setattr(SCDClassifier, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(config)
    assert list((tmp_path / "outputs" / "attacks").glob("*/state.npz"))
    record = go(config)
    got = pd.read_csv(attack_folder(config, record) / "examples.csv").drop(columns="seconds")
    pd.testing.assert_frame_equal(got, expected)
    assert not (attack_folder(config, record) / "state.npz").exists()


def test_two_at_once_train_once(small, capsys):
    """Two runs of the same key at the same time: one trains, the other waits and reads."""
    config, records = small("attack=none"), []
    workers = [threading.Thread(target=lambda: records.append(go(config))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(records) == 2
    assert records[0] == records[1]
    folder = fit_folder(config, records[0])
    assert len(list(folder.glob("votes_*.npz"))) == len(list(folder.glob("votes_*.json"))) == 2
    assert capsys.readouterr().out.count("(votes from the store)") == 1


def test_full_disk_is_a_sentence_and_loses_nothing(small, monkeypatch, capsys):
    """The disk fills while votes are written: one sentence; what was there stays; the next run goes on."""
    import errno

    from omegaconf import OmegaConf

    import pipeline.stages.fit
    from pipeline.experiment import run_from_command_line

    config, save = small("attack=none"), pipeline.stages.fit.save_votes
    saved = []

    def full(path, votes, meta):
        if saved:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        saved.append(path)
        save(path, votes, meta)

    monkeypatch.setattr(pipeline.stages.fit, "save_votes", full)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the program replaces
    assert run_from_command_line(OmegaConf.create(config)) == 1
    assert "error: No space left on device" in capsys.readouterr().err
    folder = saved[0].parent
    assert [p.name for p in folder.glob("votes_*.npz")] == ["votes_00000-00000.npz"]
    assert not list(folder.glob(".*.tmp"))
    monkeypatch.setattr(pipeline.stages.fit, "save_votes", save)
    go(config)
    assert len(list(folder.glob("votes_*.npz"))) == 2


def test_outputs_that_cannot_be_written(small, tmp_path):
    from pipeline.errors import UserError

    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"paths\.outputs=.*file must be a folder that can be written"):
        go(small(f"paths.outputs={tmp_path / 'file'}"))


def test_a_file_system_without_locks_is_a_sentence(small, monkeypatch):
    from pipeline.errors import UserError

    def absent(self, timeout=None):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("pipeline.store.FileLock.acquire", absent)
    with pytest.raises(UserError, match=r"file system without file locks.*paths\.outputs"):
        go(small("attack=none"))


def test_the_time_of_a_resumed_fit_counts_what_the_killed_process_spent(small):
    config = small("model=lenet", "model.epochs=2", "model.n_votes=1", "attack=none")
    folder = fit_folder(config, go(config))
    for path in folder.glob("votes_*"):
        path.unlink()
    from baselines.lenet import LeNetVotes
    from pipeline.stages.data import load_dataset

    def killed(done, total, score):
        raise KeyboardInterrupt

    data = load_dataset(config)
    model = LeNetVotes(n_votes=1, epochs=2, feature_shape=(1, 8, 8), device="cpu", random_state=0)
    unfinished = folder / "unfinished_00000.npz"
    with pytest.raises(KeyboardInterrupt):
        model.fit_votes(data.flat("train"), data.y_train, range(1), killed, checkpoint=unfinished)
    if not unfinished.exists():  # too quick to have been saved: any file will do, for the clock's sake
        unfinished.write_bytes(b"")
    unfinished.with_suffix(".json").write_text("1000.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the empty state is damaged
        go(config)
    assert json.loads((folder / "votes_00000-00000.json").read_text())["seconds"] > 1000
    assert not list(folder.glob("unfinished_*"))
