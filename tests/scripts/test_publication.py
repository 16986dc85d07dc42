"""docs/results is complete: its tables and figures follow from its data, and its pages state no other number."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.records.publication import FILES, PICTURES, RECORDS, SCALE, read_published
from scripts.results import paper_values
from scripts.tables.write import main as make_tables
from tests.scripts.markdown_numbers import Published, results_tables, unpublished

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"


@pytest.mark.thorough
def test_tables_figures_and_report_follow_from_the_data_alone(tmp_path):
    for name in (*FILES.values(), RECORDS, PICTURES, SCALE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(RESULTS / name, tmp_path / name)
    assert make_tables(["--outputs", str(tmp_path)]) == 0
    for folder in ("tables", "figures"):
        committed = {path.name: path for path in (RESULTS / folder).iterdir()}
        assert {path.name for path in (tmp_path / folder).iterdir()} == set(committed)
        for name, path in committed.items():
            assert_alike(tmp_path / folder / name, path)
    assert_alike(tmp_path / "report.html", RESULTS / "report.html")


def assert_alike(made: Path, committed: Path) -> None:
    """Coordinates of drawings may differ by a hundredth: machines round logarithms differently."""
    texts = [path.read_text(encoding="utf-8") for path in (made, committed)]
    if made.suffix in (".svg", ".html"):  # in the page drawings are as in their files, but for a few signs
        placed, number = re.compile(r'(?<= )(?:[dxy]|transform)="[^"]*"'), re.compile(r"-?\d+(?:\.\d+)?")
        places = ["".join(placed.findall(text)) for text in texts]
        mine, others = ([float(found) for found in number.findall(text)] for text in places)
        np.testing.assert_allclose(mine, others, atol=0.011, rtol=0)
        assert number.sub("", places[0]) == number.sub("", places[1])
        texts = [placed.sub("", text) for text in texts]
    assert texts[0] == texts[1], made.name


@pytest.mark.thorough
def test_writing_a_publication_again_gives_the_same_bytes(tmp_path):
    read_published(RESULTS).write(tmp_path)
    for name in (*FILES.values(), RECORDS, PICTURES):
        assert (tmp_path / name).read_bytes() == (RESULTS / name).read_bytes(), name


def test_it_is_small_and_holds_no_folder_of_a_run():
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert len(files) <= 60
    assert sum(path.stat().st_size for path in files) <= 4e6
    assert {path.parent.relative_to(RESULTS).as_posix() for path in files} == {".", "details", "figures", "tables"}


def test_every_fit_and_attack_has_one_row_and_what_is_behind_it():
    tables = read_published(RESULTS).tables
    runs = tables["runs"]
    assert runs["run"].is_unique
    for kind, name in (("fit", "evaluations"), ("attack", "attacks"), ("attack", "examples")):
        assert set(runs.loc[runs["kind"] == kind, "run"]) == set(tables[name]["run"])
    assert runs["value"].notna().all()
    assert (runs["run"].str.rsplit("-", n=1).str[-1] == runs["key"]).all()
    assert set(runs["fit"]) <= set(runs.loc[runs["kind"] == "fit", "key"])
    paper = runs.dropna(subset="paper").set_index("run")["paper"]
    known = set(paper_values()["value"].round(6)) | set((paper_values()["value"] / 100).round(6))
    assert set(paper.round(6)) <= known


def test_every_column_is_described():
    described = set(re.findall(r"`([^`]+)`", (RESULTS / "schema.md").read_text()))
    for name, table in read_published(RESULTS).tables.items():
        assert set(table) <= described, name


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        pytest.param("docs/results/README.md", marks=pytest.mark.thorough),
        pytest.param("docs/robustness-numbers.md", marks=pytest.mark.thorough),
    ],
)
def test_every_number_of_a_results_table_is_published(page):
    tables = results_tables((ROOT / page).read_text())
    assert tables, "there are tables of results"
    assert unpublished(tables, Published(RESULTS)) == []


def test_a_number_that_was_not_published_is_found():
    published = Published(RESULTS)
    table = "| | scd01 | mlp |\n|---|---|---|\n| HopSkipJump | 3.22 (3.2) | 0.64 |\n"
    assert unpublished(results_tables(table), published) == []
    for wrong in ("3.23", "0.64 | 3.22"):  # a slip, and the values of two models exchanged
        changed = table.replace("3.22 (3.2) | 0.64" if "|" in wrong else "3.22", wrong)
        assert unpublished(results_tables(changed), published)


def test_lines_of_the_page_fit():
    lines = (RESULTS / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 100


def test_text_that_a_spreadsheet_would_run_is_kept_as_text():
    from scripts.records.publication import csv_bytes

    table = pd.DataFrame({"command": ["=cmd()", "python run.py"], "value": [-1.5, 2.0]})
    assert csv_bytes(table) == b"command,value\n'=cmd(),-1.5\npython run.py,2.0\n"
    assert csv_bytes(table.assign(value=[1 / 3, 2.0]), digits=4) == b"command,value\n'=cmd(),0.3333\npython run.py,2\n"
