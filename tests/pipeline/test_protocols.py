"""What conf/ names satisfies the contracts of the stages; what does not is refused by one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config.build import build_attack, build_model
from pipeline.errors import UserError
from pipeline.protocols import Access, Attack, Dataset, Model, TextAttack, TextDataset
from pipeline.stages.data import load_dataset
from tests.mini_texts import write_texts
from tests.pipeline.small_runs import job_of

CONF = Path(__file__).resolve().parents[2] / "conf"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


GIVEN = {
    "estimator": ["model.estimator._target_=sklearn.svm.SVC", "model.trust_pickle=true"],
    "endpoint": ["model.url=http://localhost:1/predict"],
}
"""What a user must say of a model of his own."""


@pytest.mark.parametrize("name", sorted({*options("model")} - {"file", "scd_file"}))  # tests/baselines
def test_every_model_is_a_model(compose_config, name):
    model = build_model(compose_config(f"model={name}", *GIVEN.get(name, [])))
    assert isinstance(model, Model)
    assert model.takes in ("rows", "images", "signals", "words")
    assert model.differentiable == callable(getattr(model, "smooth", None))


@pytest.mark.parametrize("name", [name for name in options("attack") if name != "none"])
def test_every_attack_is_an_attack_with_known_access(compose_config, name):
    attack = build_attack(compose_config(f"attack={name}"))
    assert isinstance(attack, TextAttack if name == "textfooler" else Attack)
    assert attack.requires in list(Access)
    assert attack.takes == ("documents" if name == "textfooler" else "rows")
    assert attack.starts_from() <= {"nearest", "given"}


@pytest.mark.parametrize(("start", "needed"), [("noise", set()), ("nearest", {"nearest"}), ("given", {"given"})])
def test_an_attack_names_the_training_data_that_it_starts_from(compose_config, start, needed):
    assert build_attack(compose_config("attack=hsj", f"attack.start={start}")).starts_from() == needed


def test_data_sets_are_data_sets(compose_config, tmp_path):
    assert isinstance(job_of(compose_config("attack=none")).dataset, Dataset)
    write_texts(tmp_path, "mr")
    assert isinstance(job_of(compose_config("dataset=mr", "attack=none")).dataset, TextDataset)


def test_a_class_of_another_kind_is_refused(compose_config):
    config = compose_config("model=rf", "attack=hsj")
    foreign = {"_target_": "argparse.Namespace", "name": "mine"}
    for group, build, sentence in (
        ("model", build_model, "must be a subclass of scd.ensemble.VoteEnsemble"),
        ("attack", build_attack, "must be a subclass of attacks.base.Attack"),
        ("dataset", load_dataset, "must return a data.dataset.Dataset. Got Namespace"),
    ):
        with pytest.raises(UserError, match=f"{group}._target_=argparse.Namespace {sentence}"):
            build({**config, group: foreign})


def test_each_access_grants_what_its_name_says(small):
    from pipeline.stages.attack import _access
    from pipeline.stages.fit import fit

    job = job_of(small("attack=none"))
    fitted, x = fit(job), job.dataset.rows("test", range(5))
    labels = fitted.model.predict(x)
    granted = {access: _access(access, fitted) for access in Access}
    for access in (Access.LABEL, Access.GRADIENT, Access.WEIGHTS):
        np.testing.assert_array_equal(granted[access][0](x), labels)
    np.testing.assert_array_equal(granted[Access.SCORE][0](x), fitted.model.predict_proba(x))
    member = granted[Access.MEMBERS][0](x, np.zeros(5, dtype=int))
    np.testing.assert_array_equal(member, fitted.model.votes(x)[:, 0])
    assert granted[Access.LABEL][2] == granted[Access.SCORE][2] == {}
    assert granted[Access.MEMBERS][2] == {"n_members": 4}
    assert granted[Access.GRADIENT][2] == {"smooth": fitted.model.smooth}
    assert granted[Access.WEIGHTS][2] == {"certified_radius": fitted.model.certified_radius}


def test_reasons_in_the_records_are_those_of_the_attacks():
    import attacks.result
    from pipeline import records

    assert {records.MISCLASSIFIED, records.TRAINED_ON} <= {v for v in vars(attacks.result).values() if type(v) is str}
