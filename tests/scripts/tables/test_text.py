"""Table 7 takes the runs of the paper's settings, and gives the controls rows of their own."""

from __future__ import annotations

import pandas as pd
import pytest

from scripts.claims import (
    HOLDS,
    OPEN,
    UNTESTED,
    hundred_votes_lower,
    keeps_most_accuracy,
    keeps_most_accuracy_by_votes,
    keeps_most_accuracy_soft,
)
from scripts.tables.text import table7
from tests.scripts.miniature_results import results_of, write_attack_table

CLAIMS = (keeps_most_accuracy, keeps_most_accuracy_by_votes, keeps_most_accuracy_soft, hundred_votes_lower)


def run(model, score, succeeded, points=1000, **more):
    return {
        "dataset": "mr", "model": model, "attack": "textfooler", "voting": "hard", "precision": "float32",
        "n_votes": 8, "score": score, "keep_equal": False,
        "similarity_threshold": 0.5, "points_rule": "first", "points": points, "already_wrong": 200,
        "succeeded": succeeded, "queries_mean": 150.0, "attack_seconds": 9.0, "attack_notes": ("lists",),
        "folder": f"{model}-{score}", **more,
    }  # fmt: skip


@pytest.fixture
def store():
    attacks = pd.DataFrame([
        run("scd01", "votes", 600),
        run("scd01", "votes", 100, points=300),  # fewer documents
        run("scd01", "votes", 800, similarity_threshold=0.7),
        run("scd01", "votes", 700, n_votes=100),
        run("scd01", "votes", 750, keep_equal=True),
        run("scd01", "soft", 640),
        run("mlp", "label", 50, points_rule="random"),
        run("rf", "soft", 500),
        run("rf", "votes", 300),
    ])  # fmt: skip
    fits = pd.DataFrame([
        {"dataset": "mr", "model": "scd01", "voting": "hard", "precision": "float32", "n_votes": votes,
         "accuracy_ensemble": accuracy, "n_iter": 1000, "n_test": 1000, "folder": "f"}
        for votes, accuracy in ((8, 0.8), (100, 0.9))
    ])  # fmt: skip
    return results_of(attacks, evaluations=fits)


def cell(cells, row, model):
    (found,) = cells[(cells["row"] == row) & (cells["model"] == model)].to_dict("records")
    return found


def test_adversarial_accuracy_is_of_all_documents_and_beside_the_papers(store):
    _, cells, _ = table7(store)
    found = cell(cells, "mr: adversarial accuracy, %", "scd01")
    assert (found["ours"], found["paper"]) == (pytest.approx(100 * (1000 - 200 - 600) / 1000), 14)
    assert cell(cells, "mr: queries", "scd01")["shown"] == "paper 186<br>ours 150"
    by_probability = cell(cells, "mr: adversarial accuracy, %", "rf")
    assert (by_probability["ours"], by_probability["paper"]) == (pytest.approx(30), 2.1)
    clean = cell(cells, "mr: clean accuracy, %", "scd01")
    assert (clean["ours"], clean["n_votes"], clean["paper"]) == (pytest.approx(80), 8, 74)


def test_controls_have_rows_only_where_they_were_run(store):
    _, cells, _ = table7(store)
    assert cell(cells, "mr: adversarial accuracy, soft score", "scd01")["ours"] == pytest.approx(16)
    assert cell(cells, "mr: adversarial accuracy, fraction of 100 votes", "scd01")["ours"] == pytest.approx(10)
    assert cell(cells, "mr: adversarial accuracy, fraction of 8 votes, equal scores kept", "scd01")[
        "ours"
    ] == pytest.approx(5)
    assert cell(cells, "mr: adversarial accuracy, soft score", "mlp")["shown"] == "–"
    assert "mr: adversarial accuracy, hard label" not in set(cells["row"])
    assert not any(row.startswith("imdb") and "soft" in row for row in cells["row"])


def documents(folder, name, survivors, wrong=()):
    """The examples of an attack on ten documents."""
    rows = [
        {
            "index": i,
            "success": int(i not in survivors and i not in wrong),
            "reason": "already misclassified" if i in wrong else "",
        }
        for i in range(10)
    ]
    write_attack_table(folder, name, pd.DataFrame(rows))
    return name


def test_claims_compare_the_most_robust_of_both_kinds_document_by_document(tmp_path):
    """By votes scd01 and mlp keep all but a misclassified document; by a soft score none."""
    most, none = set(range(1, 10)), set()
    kept = {"scd01 votes": most, "scdce votes": none, "scd01 soft": none, "rf soft": none, "mlp votes": most}
    attacks = pd.DataFrame([
        run(*name.split(), 0, points=10, folder=documents(tmp_path, name, survivors, wrong={0}))
        for name, survivors in kept.items()
    ])  # fmt: skip
    verdicts = {claim: claim(results_of(attacks, tmp_path)) for claim in CLAIMS}
    assert verdicts[keeps_most_accuracy].verdict == HOLDS
    assert verdicts[keeps_most_accuracy].number.startswith("per cent of documents, scd01 − rf: +90.00")
    assert verdicts[keeps_most_accuracy_by_votes].verdict == OPEN
    assert verdicts[keeps_most_accuracy_by_votes].number.startswith("per cent of documents, scd01 − mlp: +0.00")
    assert verdicts[keeps_most_accuracy_soft].verdict == OPEN
    assert verdicts[hundred_votes_lower].verdict == UNTESTED


def test_missing_cells_name_their_command_and_notes_their_synonyms(store):
    _, cells, notes = table7(store)
    assert len(cells[cells["row"].str.startswith("yelp")]) == 3 * 6
    assert set(cells["model"]) == {"scd01", "scdce", "wordcnn", "mlp", "bnn", "rf"}
    soft = "python run.py dataset=mr model=mlp attack=textfooler attack.score=soft"
    assert cell(cells, "mr: queries", "mlp")["command"] == soft
    assert cell(cells, "mr: queries", "scdce")["command"] == soft.replace("mlp", "scdce").removesuffix(
        " attack.score=soft"
    )
    assert "- TextFooler's lists." in notes


def test_an_empty_store_is_a_table_of_commands():
    _, cells, _ = table7(results_of())
    assert cells["paper"].notna().all()
    assert len(cells) == 4 * 3 * 6
