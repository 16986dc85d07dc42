"""The history of ``make bench``: every run adds its ratios, and is compared with the one before on its machine."""

import json
import math

import pytest

from scripts.bench import compare, run
from scripts.bench.history import HISTORY, Entry, add_to_history, draw_history, entries_of, last_ratios, read_history
from scripts.bench.measure import Section, with_load

FACTS = {"processor": "P", "cores": 2, "data": "images", "date": "2026-01-03T00:00:00+00:00",
         "git": {"commit": "0123456789", "dirty": True}}  # fmt: skip


def entry(date="2026-01-01", machine="P, 2 cores", ratio="a", value=1.0, data="images"):
    return Entry(date, "0123456", machine, "", data, "training", ratio, value)


def test_a_run_adds_its_ratios_at_the_end_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "history.csv"
    first = add_to_history(path, [entry(), entry(ratio="b, of two", value=0.5)])
    section = Section("Title", {"ms": 3.0}, {"a": 2.00004}, name="training", load=0.25)
    assert add_to_history(path, entries_of([section], FACTS)) == read_history(path)
    *before, added = read_history(path)
    assert before == first
    assert added == (FACTS["date"], "0123456+", "P, 2 cores", "0.2", "images", "training", "a", 2.0)


def test_the_last_entry_of_this_machine_and_data_counts_and_not_the_run_itself():
    others = [entry(machine="Q, 2 cores", value=9), entry(data="random", value=9), entry(date=FACTS["date"], value=9)]
    entries = [entry(value=1), entry(date="2026-01-02", value=2), entry(ratio="b", value=3), *others]
    assert last_ratios(entries, FACTS) == {"a": 2, "b": 3}
    with pytest.raises(ValueError, match=r"no earlier run on P, 2 cores \(images\).*Q, 2 cores"):
        last_ratios(others, FACTS)


@pytest.mark.parametrize(("value", "status"), [(1.7, 0), (1.5, 1)])
def test_bench_check_compares_with_the_history(tmp_path, capsys, value, status):
    history, new = tmp_path / "history.csv", tmp_path / "bench.json"
    add_to_history(history, [entry(value=5.0), entry(date="2026-01-02", value=2.0)])
    new.write_text(json.dumps({**FACTS, "ratios": {"a": value}}), encoding="utf-8")
    assert compare.main([str(history), str(new)]) == status
    assert f"a: 2 -> {value}" in capsys.readouterr().out


def test_what_cannot_be_compared_with_the_history_is_said(tmp_path, capsys):
    history, new = tmp_path / "history.csv", tmp_path / "bench.json"
    new.write_text(json.dumps({**FACTS, "ratios": {"a": 1.0}}), encoding="utf-8")
    assert compare.main([str(history), str(new)]) == 2
    history.write_text("day,ratio\n", encoding="utf-8")
    assert compare.main([str(history), str(new)]) == 2
    add_to_history(tmp_path / "other.csv", [entry(machine="Q")])
    assert compare.main([str(tmp_path / "other.csv"), str(new)]) == 2
    new.write_text(json.dumps({"ratios": {"a": 1.0}}), encoding="utf-8")
    assert compare.main([str(tmp_path / "other.csv"), str(new)]) == 2
    shown = capsys.readouterr().err.splitlines()
    for line, said in zip(shown, ("no file", "its columns must be", "no earlier run", "does not say"), strict=True):
        assert said in line


@pytest.mark.thorough
def test_the_history_of_the_repository_can_be_read_and_drawn(tmp_path):
    entries = read_history(HISTORY)
    assert all(math.isfinite(e.value) and e.value > 0 for e in entries)
    assert [e.date for e in entries] == sorted(e.date for e in entries)
    draw_history(entries, tmp_path / "history.svg")
    picture = (tmp_path / "history.svg").read_text(encoding="utf-8")
    for shown in {e.section for e in entries} | {e.ratio for e in entries}:
        assert f">{shown}<" in picture


def test_bench_writes_what_bench_check_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "images", lambda: (None, None, "images"))
    monkeypatch.setattr(run, "start_up", lambda: Section("Start-up", {}, {"numpy / help": 0.5}))
    words = ["--outputs", str(tmp_path), "--history", str(tmp_path / "history.csv"), "--sections", "startup"]
    assert run.main(words) == 0
    assert compare.main([str(tmp_path / "history.csv"), str(tmp_path / "bench.json")]) == 2  # only this run is there
    (only,) = read_history(tmp_path / "history.csv")
    add_to_history(tmp_path / "history.csv", [only._replace(date="2026-01-01")])
    assert compare.main([str(tmp_path / "history.csv"), str(tmp_path / "bench.json")]) == 0
    assert (tmp_path / "bench_history.svg").stat().st_size > 1000
    assert "numpy / help: 0.5 -> 0.5" in capsys.readouterr().out


def test_a_section_says_what_other_programs_used(monkeypatch):
    for name, values in (("_busy_seconds", [100.0, 110.0]), ("time.perf_counter", [0.0, 5.0]),
                         ("os.times", [(1, 0, 0, 0, 0), (3, 1, 1, 0, 9)])):  # fmt: skip
        monkeypatch.setattr(f"scripts.bench.measure.{name}", iter(values).__next__)
    section = with_load("training", lambda: Section("Title"))
    assert (section.name, section.load) == ("training", pytest.approx((10 - 4) / 5))
    assert "Other programs used 1.2 cores meanwhile." in section.markdown()
