"""What a user of the published results and of the public classes relies on stays as it is; how, says freeze.py."""

from __future__ import annotations

import pytest

from tests.contract.freeze import RUNS, differences, frozen, key_now, published_number, runs, signatures, votes

PUBLISHED = frozen()["published"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_command_of_a_published_run_still_has_its_key(name):
    """Else the store would train and attack again what is there, and a published number could not be traced."""
    assert key_now(PUBLISHED[name], frozen()["data"]) == name.rsplit("-", 1)[1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_number_stays(name):
    assert published_number(name.rsplit("-", 1)[1]) == pytest.approx(PUBLISHED[name]["number"], rel=1e-6)


def test_every_model_and_attack_of_the_paper_is_among_the_published_runs():
    named = {word for name in PUBLISHED for word in name.split("-")[:-1]}
    models = {"scd01", "scdce", "scdcebnn", "mlp", "bnn", "lenet", "resnet50", "rf", "cnn1d", "wordcnn"}
    attacks = {"hsj", "hsj_wide", "boundary", "rays", "transfer", "substitute", "whitebox", "textfooler"}
    assert models | attacks <= named


def test_public_classes_and_functions_keep_their_parameters():
    assert not differences(frozen()["signatures"], signatures())


def test_a_seed_gives_the_same_votes():
    assert not differences(frozen()["votes"], votes())


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:.*had not converged")  # of course not: they are miniatures
def test_small_runs_and_their_tables_have_the_same_numbers():
    was = frozen()["runs"]
    assert list(was) == [*RUNS, "tables"]
    assert not differences(was, runs())
