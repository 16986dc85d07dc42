"""The table at the end of a sweep."""

import csv

from pipeline.sweep_table import result_of, rows_of, table_lines, write_table

JOBS = {
    0: ["model=rf", "attack=hsj", "seed=1"],
    1: ["model=mlp", "attack=hsj", "seed=1"],
    2: ["model==1+1", "attack=hsj", "seed=1"],
}
L2 = {
    "success_rate": 1.0, "norm": "l2", "l2_mean": 0.5, "l2_mean_low": 0.4, "l2_mean_high": 0.6, "queries_mean": 1234.4,
    "attack_seconds": 2.0,
}  # fmt: skip


def rows():
    first = result_of({"fit": "f1", "attack": "a1"}, 0.9, L2, 0.2)
    second = result_of({"fit": "f2", "attack": None}, 0.75, None, None)
    return rows_of(JOBS, {0: "done", 1: "done", 2: "failed"}, {0: first, 1: second, 2: {}})


def test_a_row_has_what_was_swept_and_what_came_out():
    found = rows()
    assert [row["job"] for row in found] == [1, 2, 3]
    assert [row["model"] for row in found] == ["rf", "mlp", "=1+1"]
    assert "seed" not in found[0], "it is the same for all"
    assert (found[0]["measure"], found[0]["value"], found[0]["value_high"]) == ("l2_mean", 0.5, 0.6)
    assert found[2]["accuracy"] is None


def test_the_table_is_aligned_and_says_what_it_shows():
    assert table_lines(rows()) == [
        "  job  model  accuracy  success  result (95 % interval)            queries",
        "  1    rf     90.0 %    100.0 %  l2_mean 0.500 (0.400 to 0.600) †  1,234",
        "  2    mlp    75.0 %    -        -                                 -",
        "  3    =1+1   failed",
        "  Each distance is an upper bound of the minimum.",
        "  †: not converged, the second half of the queries gained more than 5 %.",
    ]


def test_the_file_has_every_column_and_no_formula(tmp_path):
    with write_table(tmp_path / "sweep", rows()).open() as file:
        read = list(csv.DictReader(file))
    assert [row["value"] for row in read] == ["0.5", "", ""]
    assert read[2]["model"] == "'=1+1"
    assert read[0]["attack_folder"] == "a1"


def test_the_measure_is_that_of_the_attack():
    linf = result_of({}, 0.9, {**L2, "norm": "linf", "linf_mean": 0.1}, None)
    assert (linf["measure"], linf["value"], linf["value_low"]) == ("linf_mean", 0.1, None)
    assert result_of({}, 0.9, {**L2, "adversarial_accuracy": 0.3}, None)["value"] == 0.3
    assert result_of({}, 0.9, {**L2, "l2_lower_mean": 0.2}, None)["measure"] == "l2_lower_mean"
