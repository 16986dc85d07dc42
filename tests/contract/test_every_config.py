"""Every data set, model, attack and scale in conf/ composes, binds and runs in miniature."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.baselines.authors_votes import write_votes
from tests.mini_texts import write_texts

CONF = Path(__file__).resolve().parents[2] / "conf"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


PREPARED: dict[str, tuple[str, tuple[int, ...], type]] = {  # file, row shape and dtype of sets that are not embedded
    "cifar10": ("cifar10_0_1.npz", (32, 32, 3), np.uint8),
    "mnist": ("mnist_0_1.npz", (1, 28, 28), np.uint8),
    "gtsrb": ("gtsrb_3_8_48.npz", (3, 48, 48), np.uint8),
    "celeba": ("celeba_Black_Hair_Brown_Hair_1000_1000_crop178_size96_seed0.npz", (3, 96, 96), np.uint8),
    "imagenet": ("imagenet_0_1_resize256_crop224.npz", (3, 224, 224), np.uint8),
    "ptb": ("ptb.npz", (187,), np.float32),
    "ecg200": ("ecg200.npz", (96,), np.float32),
}
LARGE = ("celeba", "imagenet")
TEXTS = ("mr", "imdb", "yelp", "ag")
OWN = ("arrays", "table", "images")  # sets of the user's files
THOROUGH = {"resnet50": pytest.mark.slow, "bnn": pytest.mark.thorough}
EXTRAS = {"hsj_art": "art", "boundary_art": "art", "signopt_art": "art", "bnn": "larq", "estimator": "skops"}
"""Configs that need an extra, by the module it brings."""


@pytest.mark.parametrize("dataset", options("dataset"))
@pytest.mark.parametrize("scale", options("scale"))
def test_every_data_set_composes_with_every_scale(compose_config, dataset, scale):
    from pipeline.config.check import check

    attack = "none" if dataset in TEXTS else "hsj"
    config = compose_config(f"dataset={dataset}", f"scale={scale}", "model=scd01", f"attack={attack}")
    check(config)
    assert config["dataset"]["name"] == dataset
    assert config["scale"]["name"] == scale


def needs_extra(name: str) -> None:
    """Skip where the module is absent, without importing it: TensorFlow beside torch's compiler ends a process."""
    if name in EXTRAS and find_spec(EXTRAS[name]) is None:
        pytest.skip(f"{name} needs an extra")


def own_files(folder: Path, dataset: str) -> list[str]:
    """Write a user's files, with two classes that differ, into `folder`; the words that name them."""
    rng, y = np.random.default_rng(0), np.arange(40) % 2
    if dataset == "images":
        from PIL import Image

        for i, label in enumerate(y):
            (folder / "own" / "ab"[label]).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 128, (8, 8, 3)) + 120 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "own" / "ab"[label] / f"{i}.png")
        return [f"dataset.path={folder / 'own'}"]
    x = rng.random((40, 4)) + 0.7 * y[:, None]
    if dataset == "table":
        pd.DataFrame({**dict(zip("abcd", x.T, strict=True)), "label": y}).to_csv(folder / "t.csv", index=False)
        return [f"dataset.path={folder / 't.csv'}", "dataset.target=label"]
    np.savez(folder / "own.npz", x=x, y=y)
    return [f"dataset.path={folder / 'own.npz'}"]


def own_model(folder: Path, model: str) -> list[str]:
    """Words that name a class, or a trained model of the digits, which is written into `folder`."""
    if model == "scd_file":
        write_votes(folder, features=64, count=8)
        return [f"model.path={folder}"]
    if model != "file":
        return ["model.estimator._target_=sklearn.svm.SVC"] if model == "estimator" else []
    import joblib
    from sklearn.linear_model import LogisticRegression

    from data.digits import load

    digits = load()
    trained = LogisticRegression(max_iter=500).fit(digits.flat("train"), digits.y_train)
    joblib.dump(trained, folder / "m.joblib")
    return [f"model.path={folder / 'm.joblib'}", "model.trust_pickle=true"]


def prepare(folder: Path, dataset: str) -> None:
    """Put a small prepared file of a data set that is not embedded, with two classes that differ, into `folder`."""
    if dataset in TEXTS:
        write_texts(folder, dataset)
    if dataset not in PREPARED:
        return
    rng, (name, shape, dtype) = np.random.default_rng(0), PREPARED[dataset]
    arrays = {}
    for part, n in {"train": 40, "test": 12}.items():
        y = np.arange(n, dtype=np.uint8) % 2
        low = rng.random((n, *shape)) * 0.5 + 0.5 * y.reshape(n, *[1] * len(shape))
        arrays |= {f"x_{part}": (low * (255 if dtype is np.uint8 else 1)).astype(dtype), f"y_{part}": y}
    (folder / "prepared").mkdir(exist_ok=True)
    np.savez(folder / "prepared" / name, **arrays)


@pytest.fixture
def inputs_are_kept(monkeypatch):
    """Check at every prediction that it does not write into its inputs, where the model promises so."""
    from scd.ensemble import VoteEnsemble

    checked = set()

    def watched(name):
        predict = getattr(VoteEnsemble, name)

        def call(self, X, *more):
            before = np.array(X).tobytes()
            found = predict(self, X, *more)
            if vars(type(self)).get("keeps_inputs"):
                assert np.asarray(X).tobytes() == before
            checked.add(name)
            return found

        monkeypatch.setattr(VoteEnsemble, name, call)

    for name in ("votes", "vote_probabilities", "member_labels"):
        watched(name)
    return checked


@pytest.mark.filterwarnings("ignore:.*had not converged")  # of course not: it is a miniature
@pytest.mark.parametrize(
    "dataset",
    [
        pytest.param(name, marks=[pytest.mark.thorough] * (name in LARGE))
        for name in options("dataset")
        if name not in TEXTS
    ],
)
def test_every_data_set_is_fitted_and_attacked(compose_config, tmp_path, dataset):
    """A set that is not embedded runs on a small prepared file of its own shape."""
    from pipeline.experiment import run

    prepare(tmp_path, dataset)
    words = own_files(tmp_path, dataset) if dataset in OWN else []
    config = compose_config(f"dataset={dataset}", "scale=smoke", "points.rule=random", *words)
    record = run(config)
    assert record["attack"].startswith(f"{dataset}-scd01-hsj-")


@pytest.mark.parametrize(("dataset", "model"), [*((name, "scd01") for name in TEXTS), ("mr", "rf"), ("mr", "wordcnn")])
def test_every_text_set_is_fitted(compose_config, tmp_path, dataset, model, inputs_are_kept):
    from pipeline.experiment import run

    write_texts(tmp_path, dataset)
    config = compose_config(f"dataset={dataset}", f"model={model}", "attack=none", "scale=smoke")
    assert config["model"]["n_votes"] == 3
    record = run(config)
    assert record["fit"].startswith(f"{dataset}-{model}-")
    assert "votes" in inputs_are_kept


@pytest.mark.filterwarnings("ignore:.*had not converged")
@pytest.mark.filterwarnings("ignore:.*is loaded as a pickle")
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(m, marks=THOROUGH.get(m, ()))
        for m in options("model")
        if m not in ("wordcnn", "endpoint")  # tests/baselines/test_endpoint.py has a service
    ],
)
def test_every_model_fits_evaluates_and_is_attacked(compose_config, tmp_path, model, inputs_are_kept):
    from pipeline.experiment import run

    needs_extra(model)
    dataset = "ecg200" if model == "cnn1d" else "digits"
    prepare(tmp_path, dataset)
    config = compose_config(
        f"model={model}",
        f"dataset={dataset}",
        "attack=hsj",
        "attack.init_size=20",  # two epochs of a convolution may have one label for all noise
        "scale=smoke",
        "points.rule=random",
        *own_model(tmp_path, model),
    )
    record = run(config)
    assert config["model"]["name"] == model
    outputs = Path(config["paths"]["outputs"])
    summary = pd.read_csv(outputs / "attacks" / record["attack"] / "summary.csv").iloc[0]
    assert summary["model"] == model
    assert 0.3 <= summary["accuracy_ensemble"] <= 1  # two epochs of a convolution may leave it at chance
    assert summary["points"] == 2
    found = np.load(outputs / "attacks" / record["attack"] / "adversarials.npz")
    assert found["adversarial"].shape == (2, 96 if dataset == "ecg200" else 64)
    assert "votes" in inputs_are_kept


@pytest.mark.parametrize("attack", options("attack"))
def test_every_attack_runs(compose_config, tmp_path, attack):
    from pipeline.experiment import run

    needs_extra(attack)
    more = []
    if attack == "textfooler":  # its encoder and tagger have tests of their own
        write_texts(tmp_path, "mr")
        more = ["dataset=mr", *(f"attack.{key}=none" for key in ("similarity", "part_of_speech", "stop_words"))]
    model = "rf" if attack == "leaf_tuple" else "scd01"
    config = compose_config(f"model={model}", f"attack={attack}", "scale=smoke", *more)
    record = run(config)
    assert (record["attack"] is None) == (attack == "none")
    assert config["attack"]["name"] == attack


@pytest.mark.parametrize("model", options("model"))
def test_every_model_says_what_is_wrong_with_its_number_of_votes(compose_config, model):
    from pipeline.config.check import check
    from pipeline.errors import UserError

    dataset = ("dataset=mr", "attack=none") if model == "wordcnn" else ()
    with pytest.raises(UserError, match=r"model\.n_votes must be an int >= 1\. Got 0"):
        check(compose_config(f"model={model}", "model.n_votes=0", *dataset))
