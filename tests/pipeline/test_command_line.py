"""The command line: what was probably meant, which version it is, and terminals with few characters."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hydra.errors import HydraException

import scd
from pipeline.command_line import explained, prepare, with_plus
from pipeline.config.compose import composed
from pipeline.config.resolvers import data_folder


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["model.batch_fractoin=1"], "model.batch_fractoin is not a known key. Did you mean model.batch_fraction"),
        (["modle=rf"], "modle is not a known key. Did you mean model?"),
        (["model=rf", "model.max_featurs=2"], "model.max_featurs is not a known key. Did you mean model.max_features?"),
        (["model=scd1"], r"model=scd1 is not an option of conf/model/; there are: bnn, .*\. Did you mean scd01\?"),
        (["+experiment=tabel2"], r"experiment=tabel2 is not an option .* Did you mean table2\?"),
        (
            ["attack=leaf_tuple", "attack.mask=[0]"],
            "attack.mask is not for this attack; choose a decision-based attack",
        ),
        (["model.gamma=1"], r"model\.gamma is not a known key\. A parameter that conf/ leaves out is given as \+model"),
        (["experiment=table2"], r"use \+experiment=table2"),
    ],
)
def test_what_hydra_refuses_is_one_sentence_with_what_was_meant(overrides, sentence):
    with pytest.raises(HydraException) as caught:
        composed(*overrides)
    told = explained(caught.value, overrides)
    assert "\n" not in told
    import re

    assert re.search(sentence, told), told


def test_a_mistyped_key_on_the_command_line(run_program):
    done = run_program("model.n_itre=3")
    assert done.returncode == 2
    assert done.stderr == "error: model.n_itre is not a known key. Did you mean model.n_iter?\n"


def test_the_version_is_that_of_this_project(run_program):
    done = run_program("--version")
    assert (done.returncode, done.stdout) == (0, f"scd {scd.__version__}\n")


@pytest.mark.thorough
def test_what_the_terminal_cannot_show_is_replaced(run_program):
    done = run_program("scale=smoke", "model=rf", "attack=none", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "checksum=" in done.stdout
    assert " ? " in done.stdout  # of ±


def test_without_a_home_only_data_sets_that_need_a_folder_are_refused(compose_config, monkeypatch):
    from pipeline.errors import UserError
    from pipeline.stages.data import load_dataset

    def homeless(*given):
        raise RuntimeError("Could not determine home directory.")

    for name in ("SCD_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(Path, "expanduser", lambda self: homeless() if str(self).startswith("~") else self)
    assert data_folder() == "~/.cache/scd"
    folder = f"paths.data='{data_folder()}'"
    assert load_dataset(compose_config(folder)).name == "digits"
    with pytest.raises(UserError, match=r"dataset=cifar10 needs a data folder, .*: set .* SCD_DATA or paths\.data"):
        load_dataset(compose_config(folder, "dataset=cifar10"))


def test_experiment_and_cluster_work_with_and_without_plus():
    words = ["-m", "experiment=table2", "cluster=slurm", "experiment.votes=3", "model=rf"]
    given = with_plus(words)
    assert given == ["-m", "+experiment=table2", "+cluster=slurm", "experiment.votes=3", "model=rf"]
    assert with_plus(given) == given
    assert composed(*given[1:3]).experiment.name == "table2"


def test_an_experiment_without_plus_is_composed(run_program):
    done = run_program("--cfg", "job", "experiment=table2")
    assert done.returncode == 0, done.stderr
    assert "name: table2" in done.stdout


@pytest.mark.parametrize(("policy", "count"), [(None, "3000"), ("ACTIVE", None)])
def test_waiting_threads_sleep_soon_unless_the_user_says_otherwise(monkeypatch, policy, count):
    monkeypatch.setattr(sys, "argv", ["run.py"])
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, policy or "")  # so that it is as before at the end of the test
        monkeypatch.delenv(name)
    if policy:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    prepare()
    assert os.environ.get("GOMP_SPINCOUNT") == count
