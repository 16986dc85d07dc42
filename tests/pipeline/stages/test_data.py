"""What a scale does to a data set: fewer rows, or another in the place of one that is absent; both are said."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.stages.data import load_dataset
from tests.mini_texts import write_texts


@pytest.fixture
def offline(monkeypatch):
    """No network for CIFAR-10."""

    def absent(*given):
        raise FileNotFoundError("nothing there")

    monkeypatch.setattr("data.cifar10._official_sets", absent)


def test_rows_are_the_first_of_each_class(compose_config):
    whole = load_dataset(compose_config("scale=paper"))
    cut = load_dataset(compose_config("scale=paper", "scale.rows=20"))
    assert (np.bincount(cut.y_train) == 10).all()
    assert (np.bincount(cut.y_test) == 10).all()
    for label in (0, 1):
        np.testing.assert_array_equal(cut.x_train[cut.y_train == label], whole.x_train[whole.y_train == label][:10])
    assert cut.checksum != whole.checksum
    assert cut.provenance["notes"] == ["only the first 20 rows of each part, half of each class (scale=paper)"]
    assert load_dataset(compose_config("scale=paper", "scale.rows=9999")).checksum == whole.checksum


def test_documents_are_cut_with_their_rows(compose_config, tmp_path):
    """Row i and document i stay one example: the row is the mean of the document's word vectors."""
    write_texts(tmp_path, "mr")
    words = ("dataset=mr", "attack=none")
    whole, cut = load_dataset(compose_config(*words)), load_dataset(compose_config(*words, "scale.rows=4"))
    assert len(cut.y_test) == 4 < len(whole.y_test)
    for split, labels in (("train", cut.y_train), ("test", cut.y_test)):
        documents = cut.documents(split)
        assert len(documents) == len(labels)
        np.testing.assert_array_equal(cut.features(documents), cut.flat(split))


def test_an_absent_image_set_is_replaced_under_its_name_and_says_so(compose_config, offline):
    found = load_dataset(compose_config("scale=smoke", "dataset=cifar10"))
    assert (found.name, found.feature_shape) == ("cifar10", (1, 8, 8))
    assert found.provenance["notes"] == ["digits replace cifar10, which is not there (scale=smoke)"]


@pytest.mark.parametrize("words", [("scale=paper", "dataset=cifar10"), ("scale=smoke", "dataset=ptb")])
def test_without_a_stand_in_an_absent_set_ends_the_run(compose_config, offline, words):
    with pytest.raises(UserError, match=f"dataset={words[1].split('=')[1]}: "):
        load_dataset(compose_config(*words))
