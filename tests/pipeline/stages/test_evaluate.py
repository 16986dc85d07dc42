"""Measures of classes, and evaluations of earlier versions."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from pipeline.stages.evaluate import class_measures
from tests.pipeline.small_runs import fit_folder, go


def test_classes_of_unequal_size_count_alike():
    y = np.array([0] * 8 + [1] * 2)
    scores = np.array([0.1] * 6 + [0.6, 0.8] + [0.7, 0.2])
    got = class_measures(scores > 0.5, scores, y)
    assert got["accuracy_per_class"] == [0.75, 0.5]
    assert got["accuracy_balanced"] == 0.625
    # of the 16 pairs: 0.7 is above 7 of class 0, 0.2 above 6
    assert got["auc"] == pytest.approx(13 / 16)


def test_a_class_without_test_rows_has_no_measures():
    got = class_measures(np.array([1, 0]), np.array([0.9, 0.1]), np.array([1, 1]))
    assert got == {"accuracy_per_class": [None, 0.5], "accuracy_balanced": 0.5, "auc": None}


@pytest.mark.parametrize("voting", ["hard", "mean"])
def test_an_evaluation_holds_them_and_what_was_changed(compose_config, voting):
    config = compose_config("model=rf", "model.n_votes=4", "attack=none", f"model.voting={voting}", "model.max_depth=2")
    name = "evaluation_4.json" if voting == "hard" else "evaluation_4_mean.json"
    found = json.loads((fit_folder(config, go(config)) / name).read_text(encoding="utf-8"))
    assert found["accuracy_balanced"] == pytest.approx(np.mean(found["accuracy_per_class"]))
    assert 0.5 < found["auc"] <= 1
    assert not found["as_configured"]
    assert found["changed"] == [*(["model.voting=mean"] if voting == "mean" else []), "model.max_depth=2"]


def test_an_evaluation_of_an_earlier_version_is_made_again_without_a_warning(small):
    from pipeline.store import key_of

    config = small("attack=none")
    path = fit_folder(config, go(config)) / "evaluation_4.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    old = {k: v for k, v in whole.items() if k not in ("auc", "changed", "checksum")}
    path.write_text(json.dumps({**old, "key": key_of(**old)}), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        go(config)
    assert json.loads(path.read_text(encoding="utf-8")) == whole
