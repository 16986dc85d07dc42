"""Every experiment in conf/ is a sweep over options that exist, at every scale, of the paper's own rows and columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from hydra_plugins.scd_sweeps.sweeper import further_settings
from pipeline.config.check import check, resolve
from pipeline.config.resolvers import register_resolvers
from scripts.results import paper_values

CONF = Path(__file__).resolve().parents[2] / "conf"
NOT_THE_PAPERS = ("certificates", "frontier", "intervals")
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SCALES = sorted(path.stem for path in (CONF / "scale").glob("*.yaml"))


def composed(*words: str, hydra: bool = False):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(words), return_hydra_config=hydra)


def jobs(experiment: str, scale: str) -> list[list[str]]:
    """The overrides of every job; skips where conf/ lacks an option."""
    try:
        config = composed(f"+experiment={experiment}", f"scale={scale}", hydra=True)
    except HydraException as error:
        if not re.search(r"Could not find '(dataset|attack|model)/", str(error)):
            raise
        pytest.skip(f"{experiment}: {str(error).splitlines()[0]}")
    assert config.hydra.mode.name == "MULTIRUN"
    words = [f"{key}={value}" for key, value in config.hydra.sweeper.params.items()]
    (found,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)
    for word in {word for job in found for word in job}:
        group, option = word.split("=")
        if group in ("dataset", "model", "attack") and not (CONF / group / f"{option}.yaml").is_file():
            pytest.skip(f"{experiment}: there is no {word} in conf/")
    left_out = [set(words) for words in config.hydra.sweeper.get("leave_out") or []]
    kept = [job for job in found if not any(words <= set(job) for words in left_out)]
    assert len(kept) == len(found) - len(left_out), "a combination to leave out is not in the grid"
    settings = {word: list(more) for word, more in (config.hydra.sweeper.get("settings") or {}).items()}
    assert set(settings) <= {word for job in kept for word in job}, "settings of a job that is not in the grid"
    return [[*job, *further_settings(job, settings)] for job in kept]


def test_each_table_and_figure_has_its_experiment():
    assert (
        sorted([*(f"table{n}" for n in range(1, 9)), *(f"figure{n}" for n in range(1, 4)), *NOT_THE_PAPERS])
        == EXPERIMENTS
    )


@pytest.mark.parametrize(
    "scale", [pytest.param(scale, marks=[pytest.mark.thorough] * (scale != "cpu")) for scale in SCALES]
)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_its_jobs_compose_and_pass_the_check(experiment, scale):
    found = jobs(experiment, scale)
    for job in (found[0], found[-1]):
        config = resolve(composed(f"+experiment={experiment}", f"scale={scale}", *job))
        check(config)
        assert config["experiment"]["name"] == experiment
        assert not set(config["points"]["models"]) & set(config["scale"]["without"])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_its_header_says_command_time_and_expected_numbers(experiment):
    head = (CONF / "experiment" / f"{experiment}.yaml").read_text().split("\n\n")[0]
    assert f"python run.py +experiment={experiment}" in head
    for word in ("Expected time", "scale=smoke", "scale=cpu", "scale=paper", "Expected (paper"):
        assert word in head, word


@pytest.mark.parametrize("experiment", [e for e in EXPERIMENTS if e.startswith("table")])
def test_at_full_scale_it_covers_every_cell_of_the_papers_table(experiment):
    paper = paper_values()
    paper = paper[(paper["table"] == experiment.removeprefix("table")) & (paper["metric"] != "p_value")]
    default = composed(f"+experiment={experiment}") if experiment != "table7" else None
    swept = set()
    for job in jobs(experiment, "paper"):
        words = dict(word.split("=") for word in job)
        swept.add(tuple(words.get(g) or default[g].name for g in ("dataset", "model")))
    assert set(zip(paper["dataset"], paper["model"], strict=True)) <= swept


def test_the_votes_of_figure_1_stop_at_those_there_are():
    config = resolve(composed("+experiment=figure1", "scale=cpu", "model=mlp", "experiment.votes=50"))
    assert (config["model"]["n_votes"], config["model"]["use_votes"]) == (30, 30)
    config = resolve(composed("+experiment=figure1", "scale=cpu", "model=scd01", "experiment.votes=50"))
    assert (config["model"]["n_votes"], config["model"]["use_votes"]) == (100, 50)


def test_the_iterations_of_table_5_grow_with_its_nodes():
    for nodes in (4, 64):
        config = resolve(composed("+experiment=table5", f"model.hidden_nodes={nodes}"))
        assert config["model"]["n_iter"] == 50 * nodes
