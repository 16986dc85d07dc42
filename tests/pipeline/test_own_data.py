"""From a user's files to an attacked ensemble, by the command line; also with a configuration folder of the user's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def files(tmp_path):
    """X.npy and y.npy of two classes that differ."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    np.save(tmp_path / "X.npy", rng.random((60, 6)) + 0.7 * y[:, None])
    np.save(tmp_path / "y.npy", np.array(["no", "yes"])[y])
    return [f"dataset.path={tmp_path / 'X.npy'}", f"dataset.labels={tmp_path / 'y.npy'}"]


@pytest.mark.thorough
def test_one_command_from_files_to_an_attacked_ensemble(run_program, files, tmp_path):
    done = run_program("dataset=arrays", *files, "dataset.name=mine", "dataset.clip=features", "scale=smoke")
    assert done.returncode == 0, done.stderr
    assert "scd01 on mine" in done.stdout
    (attack,) = (tmp_path / "outputs" / "attacks").iterdir()
    assert attack.name.startswith("mine-scd01-hsj-")
    about = json.loads((attack / "provenance.json").read_text())["data"]
    assert about["file"] == [str(tmp_path / "X.npy"), str(tmp_path / "y.npy")]
    adversarials = np.load(attack / "adversarials.npz")["adversarial"]
    x = np.load(tmp_path / "X.npy").astype(np.float32)
    assert (adversarials >= x.min(axis=0)).all()
    assert (adversarials <= x.max(axis=0)).all()


def test_changed_files_are_another_fit(compose_config, files, tmp_path):
    from pipeline.config.compose import changed_settings
    from pipeline.experiment import run

    config = compose_config("dataset=arrays", *files, "scale=smoke", "attack=none")
    first = run(config)["fit"]
    assert run(config)["fit"] == first
    assert changed_settings(config)[:2] == tuple(files)  # two sets of one name are told apart in tables
    np.save(tmp_path / "X.npy", np.load(tmp_path / "X.npy") * 1.01)
    assert run(config)["fit"] != first
    fit = Path(config["paths"]["outputs"]) / "fits"
    assert len(list(fit.iterdir())) == 2


@pytest.mark.thorough
def test_a_data_set_of_a_folder_outside_the_checkout(run_program, files, tmp_path):
    """Of a configuration alone, and of a loader of the user's own."""
    folder = tmp_path / "my conf" / "dataset"
    folder.mkdir(parents=True)
    paths = "".join(f"{word.removeprefix('dataset.').replace('=', ': ')}\n" for word in files)
    (folder / "mine.yaml").write_text(f"defaults:\n  - arrays@_here_\n  - _self_\nname: mine\n{paths}")
    (tmp_path / "my_loader.py").write_text(
        "from data.digits import load as digits\ndef load(classes):\n    return digits(classes)\n"
    )
    (folder / "own.yaml").write_text(
        "defaults:\n  - digits@_here_\n  - _self_\n_target_: my_loader.load\nname: own\nclasses: [0, 1]\n"
    )
    words = ("-m", "--config-dir", str(folder.parent), "scale=smoke", "attack=none", "dataset=mine,own")
    done = run_program(*words, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "scd01 on mine" in done.stdout
    assert "scd01 on own" in done.stdout
    assert "2 of 2 jobs succeeded." in done.stdout
    assert len(list((tmp_path / "outputs" / "fits").glob("*/evaluation_3_smoke.json"))) == 2
    assert "'digit 0' against 'digit 1'" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dataset=arrays"], "dataset=arrays: dataset.path of arrays must be the path of a file, got None."),
        (["dataset=table", "dataset.path=/nothing.csv"], "dataset=table: dataset.path=/nothing.csv does not exist."),
        (["dataset=images"], "dataset=images: dataset.path of images must be a folder with a folder for each class"),
    ],
)
def test_a_missing_file_is_one_sentence(compose_config, words, sentence):
    from pipeline.errors import UserError
    from pipeline.stages.data import load_dataset

    with pytest.raises(UserError) as caught:
        load_dataset(compose_config(*words))
    assert str(caught.value).startswith(sentence)
