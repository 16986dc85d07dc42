"""The page of an attack on texts shows what its records say, and nothing a browser could run or fetch."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from pipeline.store import seal
from scripts.report.text_pages import main


@pytest.fixture
def outputs(tmp_path):
    """A finished attack: one document fooled, one that survived, one already wrong."""
    folder = tmp_path / "attacks" / "mr-scd01-textfooler-0"
    folder.mkdir(parents=True)
    common = {"score_before": 0.875, "label": 1, "queries": 1234, "changed": []}
    failed = {"success": False, "adversarial": None, "similarity": None, "score_after": None}
    rows = [
        {**common, "index": 3, "success": True, "reason": "", "similarity": 0.8, "score_after": 0.25, "changed": [1],
         "original": ["a", "<b>good</b>", "film"], "adversarial": ["a", "fine&dandy", "film"]},
        {**common, **failed, "index": 4, "reason": "still classified correctly", "original": ["so", "dull"]},
        {**common, **failed, "index": 5, "reason": "already misclassified", "original": ["never", "shown"]},
    ]  # fmt: skip
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text(yaml.safe_dump({"dataset": {"classes": ["negative", "positive"]}}))
    seal(folder, ["texts.jsonl", "config.yaml"], {})
    return tmp_path


def written(outputs):
    return (outputs / "figures" / "mr-scd01-textfooler-0.html").read_text()


def test_replaced_words_are_marked_and_texts_are_escaped(outputs, capsys):
    assert main(["--outputs", str(outputs)]) == 0
    page = written(outputs)
    assert str(outputs / "figures") in capsys.readouterr().out
    assert '<p>a <span class="was">&lt;b&gt;good&lt;/b&gt;</span> film</p>' in page
    assert "<p>a <mark>fine&amp;dandy</mark> film</p>" in page
    assert page.count("<mark>") == 1
    assert "taken for negative · score of positive 0.25" in page
    assert "1,234 queries · still classified correctly" in page
    assert "never shown" not in page


def test_the_head_counts_what_the_lines_say(outputs):
    main(["--outputs", str(outputs)])
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", written(outputs)))
    assert facts["documents attacked"] == "3"
    assert facts["accuracy before"] == "66.7 %"
    assert facts["accuracy under attack"] == "33.3 %"
    assert facts["words replaced"] == "33.3 % of an adversarial"


def test_the_page_needs_no_script_and_no_other_file(outputs):
    main([str(outputs / "attacks" / "mr-scd01-textfooler-0"), "--outputs", str(outputs)])
    page = written(outputs)
    assert not re.search(r"<script|javascript:|\son\w+=|src=|href=|url\(|@import", page)
    assert '<meta name="viewport" content="width=device-width' in page
    opened, closed = re.findall(r"<([a-z]+[0-9]?)[ >]", page), re.findall(r"</([a-z]+[0-9]?)>", page)
    assert sorted(tag for tag in opened if tag != "meta") == sorted(closed)


def test_the_sample_is_evenly_spaced_and_of_the_size_asked_for(outputs):
    main(["--outputs", str(outputs), "--documents", "1"])
    assert written(outputs).count("<article>") == 1
    assert "1 of the 2 documents" in written(outputs)


def test_what_is_not_there_is_one_sentence(outputs, tmp_path, capsys):
    assert main(["--outputs", str(tmp_path / "empty")]) == 2
    assert "no finished attack on texts" in capsys.readouterr().err
    (outputs / "attacks" / "mr-scd01-textfooler-0" / "done.json").unlink()
    assert main([str(outputs / "attacks" / "mr-scd01-textfooler-0"), "--outputs", str(outputs)]) == 2
    assert "must be the folder of a finished attack on texts" in capsys.readouterr().err
    assert main(["--outputs", str(outputs)]) == 2
