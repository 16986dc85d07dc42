"""Laws of the stages: what is done is not done again, votes are a prefix, records hold together."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UserError
from tests.pipeline.small_runs import attack_folder, fit_folder, go


def test_second_run_reads_the_store(small, monkeypatch):
    config = small()
    record = go(config)
    folder = attack_folder(config, record)
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    from scd import SCDClassifier

    monkeypatch.setattr(SCDClassifier, "_train", lambda *a, **k: pytest.fail("trained again"))
    assert go(config) == record
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name in before} == before


def test_grown_ensemble_keeps_its_votes_and_a_prefix_needs_no_training(small, monkeypatch):
    from scd.storage import load_votes

    two = small("model.n_votes=2", "attack=none")
    folder = fit_folder(two, go(two))
    kept = {p.name: p.read_bytes() for p in folder.glob("votes_*.npz")}
    four = small("model.n_votes=4", "attack=none")
    assert fit_folder(four, go(four)) == folder
    assert all((folder / name).read_bytes() == content for name, content in kept.items())
    assert sum(len(load_votes(p)[0]) for p in folder.glob("votes_*.npz")) == 4
    from scd import SCDClassifier

    monkeypatch.setattr(SCDClassifier, "_train", lambda *a, **k: pytest.fail("trained again"))
    go(small("model.n_votes=4", "model.use_votes=3", "attack=none"))
    assert (folder / "evaluation_3.json").exists()


def test_only_what_can_change_the_result_is_in_the_key(small):
    base = small("attack=none")
    folder = go(base)["fit"]
    for same in ("memory_budget=100MiB", "verbose=false", "device=cpu", "model.backend=cpu", "model.n_votes=2"):
        assert go(small("attack=none", same))["fit"] == folder, same
    assert (
        go(small("attack=none", "model.step_hidden=1"))["fit"]
        == go(small("attack=none", "model.step_hidden=1.0"))["fit"]
    )
    for other in (
        "model.backend=reference",
        "seed=1",
        "model.n_iter=31",
        "model.balanced_fraction=0.25",
        "dataset.classes=[1,7]",
    ):
        assert go(small("attack=none", other, "model.n_votes=1"))["fit"] != folder, other


def test_a_new_version_of_a_method_is_not_read_from_the_store(small, monkeypatch):
    from attacks import HopSkipJump
    from scd import SCDClassifier

    first = go(small())
    monkeypatch.setattr(HopSkipJump, "method_version", 99)
    second = go(small())
    assert (second["fit"], second["attack"] == first["attack"]) == (first["fit"], False)
    monkeypatch.setattr(SCDClassifier, "method_version", 99)
    assert go(small())["fit"] != first["fit"]


def test_records_hold_together(small):
    config = small()
    folder = attack_folder(config, go(config))
    examples, summary = pd.read_csv(folder / "examples.csv"), pd.read_csv(folder / "summary.csv").iloc[0]
    found = np.load(folder / "adversarials.npz")
    distance = np.linalg.norm((found["adversarial"] - found["original"]).astype(np.float64), axis=1)
    np.testing.assert_allclose(distance, examples["l2"], rtol=1e-6)
    assert examples["seconds"].sum() == pytest.approx(summary["attack_seconds"])
    assert summary["l2_mean"] == pytest.approx(distance.mean())
    assert summary["l2_mean_low"] <= summary["l2_mean"] <= summary["l2_mean_high"]
    assert summary["queries_mean"] == pytest.approx(examples["queries"].mean())
    trace = pd.read_csv(folder / "trace.csv")
    assert {"index", "restart", "iteration", "queries", "l2"} <= set(trace.columns)
    assert set(trace["index"]) == set(examples["index"])
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["data"]["counts"]["train"]
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["fit"].startswith("digits-scd01-")


def test_unconfirmed_adversarials_count_as_failed():
    from attacks.result import AttackResult
    from pipeline.stages.verify import verified

    n = 3
    result = AttackResult(
        index=np.arange(n), label=np.zeros(n, dtype=np.int64), success=np.array([True, True, False]),
        adversarials=np.array([[1, 0], [0.1, 0], [np.nan, np.nan]], dtype=np.float32),
        l2=np.array([1, 0.1, np.nan]), linf=np.array([1, 0.1, np.nan]), queries=np.full(n, 5, dtype=np.int64),
        restart=np.array([0, 0, -1]), reason=np.array(["", "", "no adversarial start"]),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="1 adversarials were not confirmed"):
        checked = verified(result, lambda rows: (rows[:, 0] > 0.5).astype(np.int64))
    assert checked.success.tolist() == [True, False, False]
    assert np.isnan(checked.l2).tolist() == [False, True, True]
    assert checked.reason.tolist() == ["", "not confirmed by a fresh prediction", "no adversarial start"]
    assert checked.queries.tolist() == [5, 5, 5]


def test_shards_are_cut_at_multiples_with_vote_0_alone():
    from pipeline.stages.fit import shard_ranges

    assert shard_ranges(list(range(25)), 10) == [range(0, 1), range(1, 10), range(10, 20), range(20, 25)]
    assert shard_ranges([3, 4, 9, 10, 11], 10) == [range(3, 5), range(9, 10), range(10, 12)]
    assert shard_ranges([], 10) == []


def test_a_shard_grows_with_the_cores_so_that_a_kill_loses_the_same_time():
    from pipeline.stages.fit import shard_votes

    assert [shard_votes(25, 10_000, cores) for cores in (1, 2, 3, 4, 16)] == [25, 25, 25, 50, 200]
    assert shard_votes(1, 10_000, 8) == 16  # two for each core at least
    assert shard_votes(25, 100, 2) == 250  # small data


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_voting_combines_the_same_votes_in_another_way(small, monkeypatch):
    """No vote is trained again; evaluation, attack and summary are its own and say which it was."""
    hard, mean = small("model=mlp", "model.max_iter=30"), small("model=mlp", "model.max_iter=30", "model.voting=mean")
    first = go(hard)
    from baselines.mlp import MLPVotes

    monkeypatch.setattr(MLPVotes, "_train", lambda *a, **k: pytest.fail("trained again"))
    second = go(mean)
    assert first["fit"] == second["fit"]
    assert first["attack"] != second["attack"]
    names = [p.name for p in fit_folder(mean, second).glob("evaluation_*.json")]
    assert sorted(names) == ["evaluation_4.json", "evaluation_4_mean.json"]
    for config, record, voting in ((hard, first, "hard"), (mean, second, "mean")):
        assert pd.read_csv(attack_folder(config, record) / "summary.csv").iloc[0]["voting"] == voting


def test_a_convolution_is_told_the_shape_of_the_data(small, monkeypatch):
    """The pipeline sets `feature_shape` where a model has it, and hands a resumable model a place for its state."""
    from scd import SCDClassifier

    seen = {}

    class Shaped(SCDClassifier):
        resumable = True

        def __init__(self, n_votes=3, n_iter=5, feature_shape=None, voting="hard", random_state=None):
            super().__init__(n_votes=n_votes, n_iter=n_iter, voting=voting, random_state=random_state)
            self.feature_shape = feature_shape

        _parameter_constraints = {**SCDClassifier._parameter_constraints, "feature_shape": [tuple, None]}  # noqa: RUF012

        def warm_up(self, X, y):
            pass

        def _train(self, X, y, votes, root_seed, progress, checkpoint=None):
            seen.update(shape=self.feature_shape, checkpoint=checkpoint)
            return super()._train(X, y, votes, root_seed, progress)

    monkeypatch.setattr("scd.SCDClassifier", Shaped)
    config = small("attack=none")
    config["model"] = {"_target_": "scd.SCDClassifier", "name": "shaped", "n_votes": 3, "use_votes": None, "n_iter": 5}
    record = go(config)
    assert seen["shape"] == (1, 8, 8)
    assert seen["checkpoint"].parent == fit_folder(config, record)


@pytest.mark.parametrize("attack", ["hsj", "cgba", "smoothed_boundary"])
def test_an_attack_in_a_subspace_is_told_the_shape_of_the_data(small, monkeypatch, attack):
    from attacks.engine import subspace

    seen, made = [], subspace.Subspace.__init__
    monkeypatch.setattr(subspace.Subspace, "__init__", lambda self, *args: seen.append(args) or made(self, *args))
    config = small(f"attack={attack}", "attack.subspace=dct", "attack.subspace_size=4", "attack.query_budget=100")
    table = pd.read_csv(attack_folder(config, go(config)) / "examples.csv")
    assert table["success"].all()
    assert {args[1:5] for args in seen} == {("dct", 4, (1, 8, 8), 64)}
    monkeypatch.setattr("pipeline.experiment.fit", None)
    with pytest.raises(UserError, match=r"'subspace_size' parameter of .* must be at most 8, the shortest axis"):
        go(small(f"attack={attack}", "attack.subspace=dct", "attack.subspace_size=9"))


def test_a_setting_that_joined_later_is_in_the_key_only_where_it_is_not_the_default(compose_config):
    from pipeline.config.build import that_change_the_result

    spaces = [(attack, "subspace", None) for attack in ("hsj", "cgba", "smoothed_boundary")]
    sizes = [(attack, "subspace_size", "auto") for attack, _, _ in spaces]
    sizes.append(("smoothed_boundary", "subspace_queries", None))
    for attack, word, default in (("hsj", "delta", 0.01), ("whitebox", "norm", "l2"), *spaces, *sizes):
        node = compose_config("model=mlp", f"attack={attack}")["attack"]
        assert node[word] == default
        assert word not in that_change_the_result("attack", node)
    node = compose_config("model=mlp", "attack=whitebox", "attack.norm=linf")["attack"]
    assert that_change_the_result("attack", node)["norm"] == "linf"
    node = compose_config("model=mlp", "attack=cgba", "attack.subspace=dct")["attack"]
    assert that_change_the_result("attack", node)["subspace"] == "dct"
    node = compose_config("model=scd01", "attack=none")["model"]
    assert not {"batch_size", "class_weight"} & that_change_the_result("model", node).keys()
    node = compose_config("model=scd01", "attack=none", "model.class_weight=balanced")["model"]
    assert that_change_the_result("model", node)["class_weight"] == "balanced"
    node = compose_config("model=scd01", "attack=none", "model.batch_size=500")["model"]
    assert that_change_the_result("model", node)["batch_size"] == 500
