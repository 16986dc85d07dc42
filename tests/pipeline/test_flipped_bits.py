"""A flipped bit in a stored file changes no number silently: what it is in is left out aloud, or made again."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.stages.evaluate import _known
from pipeline.stages.fit import _Shards
from pipeline.stages.timer import read_seconds
from pipeline.store import read_checked, read_config, read_evaluation, read_shard_facts, sealed, write_checked
from scripts.records.run_store import RunStore
from tests.pipeline.small_runs import go

BITS = (0x01, 0x40)
"""A low and a high bit: a digit becomes another one, a letter changes or becomes a sign."""
FLIPS_A_FILE = 12


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A finished run on digits."""
    from hydra import compose, initialize_config_dir

    from pipeline.config.check import resolve
    from pipeline.config.compose import CONF
    from pipeline.config.resolvers import register_resolvers

    register_resolvers()
    folder = tmp_path_factory.mktemp("flips")
    words = ["scale=smoke", "model=rf", "model.n_votes=3", "attack=hsj", "attack.max_iter=2", "points.count=2"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        paths = [f"paths.outputs={folder}", f"paths.data={folder}", "verbose=false"]
        go(resolve(compose("config", overrides=[*words, *paths])))
    return folder


@pytest.fixture
def outputs(ran, tmp_path):
    return shutil.copytree(ran, tmp_path / "outputs")


def flipped(path: Path) -> Iterator[int]:
    """Flip single bits of a file, one after the other, at bytes all over it; it is whole again at the end."""
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // FLIPS_A_FILE)):
        for bit in BITS:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            yield at
    path.write_bytes(whole)


def only(outputs: Path, pattern: str) -> Path:
    (found,) = outputs.glob(pattern)
    return found


def same(before: pd.DataFrame, after: pd.DataFrame) -> bool:
    """Whether all that was in a table is in the other."""
    return set(before) <= set(after) and before.equals(after[list(before)])


@pytest.mark.parametrize("kind", ["fits", "attacks"])
def test_tables_show_the_same_numbers_or_say_what_they_leave_out(outputs, kind):
    folder, flips, loud = only(outputs, f"{kind}/*"), 0, 0
    before = RunStore(outputs)
    shown = RunStore.evaluations if kind == "fits" else RunStore.attacks
    expected = shown(before)
    assert len(expected) == 1
    assert not before.notes()
    for path in sorted(p for p in folder.iterdir() if p.suffix and p.name != ".lock"):
        for at in flipped(path):
            after, flips = RunStore(outputs), flips + 1
            found = shown(after)
            named = any(folder.name in note for note in after.notes())
            assert same(expected, found) or (named and not len(found)), (path, at)
            loud += named
    assert flips >= 50
    assert loud > 50


def test_the_next_run_reads_the_same_votes_or_trains_them_again(outputs):
    folder = only(outputs, "fits/*")
    whole = {path: path.read_bytes() for path in folder.glob("votes_*")}
    before = _Shards(folder)
    assert len(before.votes) == 3
    damaged = 0
    for path in sorted(whole):
        for at in flipped(path):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                after = _Shards(folder)
            for number, vote in after.votes.items():
                assert all(np.array_equal(vote[name], before.votes[number][name]) for name in vote), (path, at)
                assert after.seconds[number] == before.seconds[number], (path, at)
            assert len(after.votes) == 3 or any("trained again" in str(w.message) for w in said), (path, at)
            damaged += len(after.votes) < 3
            for lost, content in whole.items():
                lost.write_bytes(content)
    assert damaged > 50


def test_the_next_run_reads_the_same_evaluation_or_makes_it_again(outputs):
    path = only(outputs, "fits/*/evaluation_*.json")
    before = _known(path)
    assert before is not None
    for at in flipped(path):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            after = _known(path)
        assert after == before or (after is None and "evaluated again" in str(said[0].message)), at


def test_the_next_run_reads_a_whole_attack_or_makes_it_again(outputs):
    folder = only(outputs, "attacks/*")
    before, _ = sealed(folder)
    assert before is not None
    for path in sorted(p for p in folder.iterdir() if p.suffix):
        for at in flipped(path):
            facts, damage = sealed(folder)
            assert damage or (path.name == "done.json" and facts is not None), (path, at)
            assert damage or all(facts[name] == value for name, value in before.items()), (path, at)


@pytest.mark.parametrize("name", ["run.json", "begun.json", "failed.json", "elapsed.json"])
def test_records_of_runs_and_times_are_the_same_or_damaged(outputs, name):
    path = only(outputs, "runs/*") / name
    if name == "elapsed.json":
        write_checked(path, {"seconds": 1234.5678})
    elif name != "run.json":
        write_checked(path, {"command": "python run.py", "fit": "digits-rf-0123456789abcdef", "code": 1})
    before = read_checked(path).content
    for at in flipped(path):
        stored = read_checked(path)
        assert stored.damage or all((stored.content or {})[key] == value for key, value in before.items()), at
        if name == "elapsed.json":
            seconds, damage = read_seconds(path)
            assert seconds == 1234.5678 or damage, at


def test_states_are_the_same_or_damaged(tmp_path):
    """Of a killed attack, and of votes in training."""
    from attacks.engine.checkpoint import load_state, save_state
    from scd.storage import load_votes, save_votes

    arrays = {"snapshot.best": np.arange(40.0), "answers": np.arange(30, dtype=np.uint8)}
    save_state(tmp_path / "state.npz", arrays)
    save_votes(tmp_path / "unfinished.npz", [arrays], {"epoch": 3})
    for at in flipped(tmp_path / "state.npz"):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = load_state(tmp_path / "state.npz")
        assert said if found is None else all(np.array_equal(found[n], a) for n, a in arrays.items()), at
    for at in flipped(tmp_path / "unfinished.npz"):
        try:
            (vote,), meta = load_votes(tmp_path / "unfinished.npz")
        except ValueError:
            continue
        assert meta["epoch"] == 3, at
        assert all(np.array_equal(vote[n], a) for n, a in arrays.items()), at


def test_every_bit_of_a_training_that_was_killed_is_the_same_or_damaged(tmp_path):
    """`unfinished_*.npz`: in places, a flip makes NumPy seek before the file, which is an OSError."""
    from baselines.torch_ensemble.checkpoint import Checkpoint, Progressed

    path, belongs_to = tmp_path / "unfinished_00001.npz", {"data": "abc", "votes": [1, 2]}
    saved = Progressed({1: {"w": np.arange(6.0)}}, {2: {"w": np.ones((2, 3), np.float32), "m": np.arange(4)}}, epoch=3)
    Checkpoint(path, belongs_to).save(saved)
    whole, lost = path.read_bytes(), 0
    for at in range(len(whole)):
        for bit in BITS:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = Checkpoint(path, belongs_to).read()
            if found == Progressed():
                assert any("is not used" in str(w.message) for w in said), (at, bit)
                lost += 1
                continue
            assert (found.epoch, list(found.finished), list(found.training)) == (3, [1], [2]), (at, bit)
            for states, kept in ((found.finished, saved.finished), (found.training, saved.training)):
                for number, state in kept.items():
                    assert states[number].keys() == state.keys(), (at, bit)
                    assert all(np.array_equal(states[number][name], array) for name, array in state.items()), (at, bit)
    assert lost > len(whole)


def test_outcomes_of_jobs_are_the_same_or_say_that_the_job_was_lost(tmp_path):
    from pipeline.run_log import outcome, outcome_file, outcome_result

    write_checked(outcome_file(tmp_path, 0), {"code": 0, "error": "", "result": {"accuracy": 0.9}})
    for at in flipped(outcome_file(tmp_path, 0)):
        begun, code, _ = outcome(tmp_path, 0)
        assert begun, at
        assert code == 0 or code is None, at
        assert outcome_result(tmp_path, 0) in ({"accuracy": 0.9}, {}), at


def test_names_agree_with_contents(outputs):
    """A whole file under another file's name: its votes would count twice, its numbers for other votes."""
    shard, evaluation = only(outputs, "fits/*/votes_00001-*.json"), only(outputs, "fits/*/evaluation_*.json")
    assert read_shard_facts(shard).verified
    assert read_evaluation(evaluation).verified
    other = shutil.copy(shard, shard.with_name("votes_00003-00004.json"))
    assert read_shard_facts(other).damage == "votes_00003-00004.json does not agree with its name"
    other = shutil.copy(evaluation, evaluation.with_name("evaluation_9_smoke.json"))
    assert read_evaluation(other).damage == "evaluation_9_smoke.json does not agree with its name"


def test_files_of_versions_without_checksums_are_read_and_said_to_be_unverified(outputs):
    for path in [*outputs.glob("*/*/*.json")]:
        content = {key: value for key, value in json.loads(path.read_text()).items() if key != "checksum"}
        path.write_text(json.dumps(content))
    config = only(outputs, "fits/*/config.yaml")
    config.write_text(config.read_text().rpartition("# checksum")[0])
    assert not read_config(config).verified
    (only(outputs, "attacks/*") / "done.json").unlink()
    store = RunStore(outputs)
    assert len(store.evaluations()) == 1
    assert store.notes() == ["1 folders have files without checksums, which were not verified."]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"[1]", b"null", b""])
def test_what_is_not_even_text_is_damage(tmp_path, content):
    for read, name in ((read_checked, "a.json"), (read_config, "a.yaml")):
        (tmp_path / name).write_bytes(content)
        stored = read(tmp_path / name)
        assert stored.content is None
        assert name in stored.damage
