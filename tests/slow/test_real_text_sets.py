"""The real text sets, where the data folder (SCD_DATA) has them: ``make test-slow``."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from data.text.textfooler_split import attacked_documents, keys_of

FOLDER = Path(os.environ.get("SCD_DATA", Path.home() / ".cache" / "scd")).expanduser()

pytestmark = pytest.mark.slow


def load(name: str, tmp_path: Path) -> Any:
    """Load from the files of the data folder, without writing to it."""
    if not (FOLDER / "text" / "textfooler_1000.tsv.gz").is_file():
        pytest.skip(f"there is no text/textfooler_1000.tsv.gz in {FOLDER}; point SCD_DATA at the folder that has it")
    (tmp_path / "text").symlink_to((FOLDER / "text").resolve(), target_is_directory=True)
    return import_module(f"data.{name}").load(data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))


def test_mr_is_the_papers_split(tmp_path):
    """9,662 and 1,000 sentences, none in both, a test set with TextFooler's labels."""
    dataset = load("mr", tmp_path)
    assert (len(dataset.y_train), len(dataset.y_test)) == (9662, 1000)
    train, test = keys_of(dataset.train_documents), keys_of(dataset.test_documents)
    assert not set(train) & set(test)
    documents, y = attacked_documents(tmp_path, "mr")
    assert keys_of(documents) == test
    np.testing.assert_array_equal(dataset.y_test, y)
    assert max(dataset.train_documents.lengths.max(), dataset.test_documents.lengths.max()) < 100


def test_mr_can_be_learned_from_its_mean_vectors(tmp_path):
    """A linear model reaches what the paper's models do on 200 numbers, 74 to 76 %, less what 100 numbers cost."""
    dataset = load("mr", tmp_path)
    model = LogisticRegression(C=100, max_iter=1000).fit(dataset.flat("train"), dataset.y_train)
    assert 0.70 < model.score(dataset.flat("test"), dataset.y_test) < 0.80


def test_imdb_begins_its_test_set_with_the_attacked_reviews(tmp_path):
    dataset = load("imdb", tmp_path)
    assert (len(dataset.y_train), len(dataset.y_test)) == (25_000, 25_000)
    documents, y = attacked_documents(tmp_path, "imdb")
    assert keys_of(dataset.test_documents.select(range(1000))) == keys_of(documents)
    np.testing.assert_array_equal(dataset.y_test[:1000], y)


def test_ag_begins_its_test_set_with_the_attacked_articles_of_its_classes(tmp_path):
    dataset = load("ag", tmp_path)
    assert len(dataset.y_test) == 3_800
    documents, y = attacked_documents(tmp_path, "ag")
    assert len(y) == 521
    assert keys_of(dataset.test_documents.select(range(521))) == keys_of(documents)
    np.testing.assert_array_equal(dataset.y_test[:521], y)
