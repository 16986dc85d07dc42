"""``scd attack`` on models of every kind, end to end: its results are those of the same model in Python."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from attacks import HopSkipJump
from scd.command.line import main
from tests.label_service import label_service

X = load_iris().data.astype(np.float32)
NUMBERS = load_iris().target
NAMES = load_iris().target_names
COLUMNS = ["sl", "sw", "pl", "pw"]
MODEL = LogisticRegression(max_iter=500).fit(X, NUMBERS)
SHORT = ("--budget", "150", "--points", "3", "--clip", "features")
ORDER = ("--classes", "setosa,versicolor,virginica")
TRUST = ("--trust-pickle",)
pytestmark = pytest.mark.filterwarnings("ignore:.*is loaded as a pickle")


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """The same samples as a table and as arrays, with classes as names and as numbers."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(X, columns=COLUMNS).assign(kind=NAMES[NUMBERS]).to_csv("names.csv", index=False)
    pd.DataFrame(X, columns=COLUMNS).assign(kind=NUMBERS).to_csv("numbers.csv", index=False)
    np.save("X.npy", X)
    np.save("y.npy", NUMBERS)
    np.save("names.npy", NAMES[NUMBERS])


NAMED = {
    "csv": ("--data", "names.csv", "--target", "kind"),
    "npy": ("--data", "X.npy", "--labels", "names.npy"),
    "parquet": ("--data", "names.parquet", "--target", "kind"),
}
NUMBERED = {"csv": ("--data", "numbers.csv", "--target", "kind"), "npy": ("--data", "X.npy", "--labels", "y.npy")}


def attack(*words: str) -> int:
    return main(["attack", *words, *SHORT])


def check(*words: str, names: bool, predict=MODEL.predict) -> pd.DataFrame:
    """Attack, and compare with the same attack on the function `predict`, which returns numbers of classes."""
    assert attack(*words, "--out", "out") == 0
    found = pd.read_csv("out/examples.csv", float_precision="round_trip", dtype={"label": str})
    index = found["index"].to_numpy()
    y = predict(X)[index]
    direct = HopSkipJump(restarts=1, query_budget=150)
    expected = direct(predict, X[index], y, clip=(X.min(axis=0), X.max(axis=0)), index=index)
    assert expected.success.all()
    np.testing.assert_array_equal(found["l2"], expected.l2)
    np.testing.assert_array_equal(found["queries"], expected.queries)
    assert (found["label"] == (NAMES[y] if names else y.astype(str))).all()
    reached = predict(expected.adversarials)
    assert (
        found["adversarial_label"].astype(str).tolist() == (NAMES[reached] if names else reached.astype(str)).tolist()
    )
    accuracy = pd.read_csv("out/summary.csv")["accuracy_ensemble"].item()
    assert accuracy == pytest.approx((predict(X) == NUMBERS).mean())
    return found


def network() -> torch.nn.Module:
    """The same scores as those of `MODEL`, up to rounding."""
    layer = torch.nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(MODEL.coef_))
        layer.bias.copy_(torch.from_numpy(MODEL.intercept_))
    return torch.nn.Sequential(layer).eval()


def predicted(module: torch.nn.Module):
    def labels(rows):
        with torch.no_grad():
            return module(torch.from_numpy(np.asarray(rows, dtype=np.float32).copy())).argmax(1).numpy()

    return labels


# ---- torch.export


@pytest.mark.parametrize("data", ["csv", "npy"])
def test_an_exported_torch_program(data):
    made, batch = network(), torch.export.Dim("batch")
    torch.export.save(torch.export.export(made, (torch.zeros(2, 4),), dynamic_shapes=({0: batch},)), "m.pt2")
    check("--model", "m.pt2", *TRUST, *ORDER, *NAMED[data], names=True, predict=predicted(made))
    assert attack("--model", "m.pt2", *NAMED[data]) == 2


# ---- Keras


def keras_on_torch():
    """As the command loads it. With TensorFlow, its LLVM would abort a later import of Triton in this process."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.mark.thorough
@pytest.mark.parametrize("data", ["csv", "npy"])
def test_a_keras_network(data):
    keras = keras_on_torch()
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    made.layers[0].set_weights([MODEL.coef_.T, MODEL.intercept_])
    made.save("m.keras")

    def predict(rows):
        shown = made(np.asarray(rows, dtype=np.float32), training=False)
        return np.asarray(keras.ops.convert_to_numpy(shown)).astype(np.float64).argmax(axis=1)

    check("--model", "m.keras", *NUMBERED[data], names=False, predict=predict)


@pytest.mark.thorough
def test_a_keras_network_of_one_output_and_images():
    keras = keras_on_torch()
    made = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    made.layers[-1].set_weights([np.array([[0], [0], [1], [0]], dtype=np.float32), np.array([-2.5], dtype=np.float32)])
    made.save("m.keras")
    np.save("images.npy", X.reshape(-1, 1, 2, 2))
    np.save("long.npy", np.where(X[:, 2] > 2.5, "long", "short"))
    words = ("--model", "m.keras", "--channels-last", "--threshold", "0", "--classes", "short,long")
    assert attack(*words, "--data", "images.npy", "--labels", "long.npy", "--out", "out") == 0
    assert pd.read_csv("out/summary.csv")["accuracy_ensemble"].item() == 1
    found = pd.read_csv("out/examples.csv")
    assert found["success"].all()
    adversarial = np.load("out/adversarials.npz")["adversarial"].reshape(-1, 4)
    assert (np.where(adversarial[:, 2] > 2.5, "long", "short") == found["adversarial_label"]).all()


# ---- ONNX


def onnx_file(model, **options):
    skl2onnx = pytest.importorskip("skl2onnx")
    pytest.importorskip("onnxruntime")
    Path("m.onnx").write_bytes(skl2onnx.to_onnx(model, X[:1], options=options or None).SerializeToString())


def of_session(rows):
    """Labels of the ONNX file in the folder, which rounds in its own way."""
    import onnxruntime

    session = onnxruntime.InferenceSession("m.onnx")
    return session.run(None, {session.get_inputs()[0].name: np.asarray(rows, dtype=np.float32)})[0]


@pytest.mark.parametrize("data", ["csv", "npy"])
def test_an_onnx_model_of_scores(data):
    onnx_file(MODEL, zipmap=False)
    check("--model", "m.onnx", *ORDER, *NAMED[data], names=True, predict=of_session)


@pytest.mark.parametrize("data", ["csv", "npy"])
def test_an_onnx_model_of_labels_only(data, capsys):
    """skl2onnx writes probabilities as a list of maps, if nothing is said, so that labels are all there is."""
    onnx_file(MODEL)
    check("--model", "m.onnx", *NUMBERED[data], names=False, predict=of_session)
    assert attack("--model", "m.onnx", *NAMED[data]) == 2
    assert "must be 0, 1, 2, as the model numbers them, or be named in its order" in capsys.readouterr().err
    assert attack("--model", "m.onnx", *ORDER, *NAMED[data]) == 0


def test_an_onnx_model_of_names_as_labels():
    onnx_file(LogisticRegression(max_iter=500).fit(X, NAMES[NUMBERS]))
    check(
        *("--model", "m.onnx", *NAMED["csv"]),
        names=True,
        predict=lambda rows: np.searchsorted(NAMES, of_session(rows).astype(str)),
    )


# ---- HTTP


@pytest.fixture
def service(monkeypatch):
    """A server of the names of classes."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with label_service(lambda row: str(NAMES[MODEL.predict(np.array([row]))[0]])) as state:
        yield state


@pytest.mark.parametrize("data", ["csv", "npy"])
def test_a_service(service, data):
    check("--model", service.url, *NAMED[data], names=True)
    assert pd.read_csv("out/summary.csv")["model"].item() == service.url
    assert max(service.sizes) <= 256
    once = 150 + pd.read_csv("out/examples.csv")["queries"].sum() + 3  # the data, the queries, the confirmations
    assert sum(service.sizes) <= once + 24  # and fixed inputs by which the state tells another model


def test_a_service_of_numbers(monkeypatch, capsys):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with label_service(lambda row: int(MODEL.predict(np.array([row]))[0])) as state:
        check("--model", state.url, *NUMBERED["csv"], names=False)
        assert attack("--model", state.url, *NAMED["csv"]) == 2
        assert "be named in its order with --classes" in capsys.readouterr().err
        assert attack("--model", state.url, *ORDER, *NAMED["csv"], "--out", "named") == 0
        assert set(pd.read_csv("named/examples.csv")["adversarial_label"]) <= set(NAMES)


def test_a_token_is_sent_and_not_written(service, monkeypatch, capsys):
    words = ("--model", service.url, *NAMED["npy"], "--token-variable", "MY_TOKEN")
    assert attack(*words) == 2
    assert "--token-variable must be an environment variable with a token. Got MY_TOKEN." in capsys.readouterr().err
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    assert attack(*words, "--rate-limit", "10000", "--out", "out") == 0
    assert set(service.tokens) == {"Bearer s3cret"}
    assert json.loads(Path("out/provenance.json").read_text())["options"]["token_variable"] == "MY_TOKEN"
    assert all(b"s3cret" not in path.read_bytes() for path in Path("out").iterdir())


def test_a_service_that_refuses_is_one_sentence_and_the_same_command_continues(service, capsys):
    words = ("--model", service.url, *NAMED["npy"])
    service.statuses = [403]
    assert attack(*words) == 2
    assert capsys.readouterr().err == (
        f"error: The service at {service.url} refused the request. Got status 403 Forbidden instead\n"
    )
    assert attack(*words, "--out", "whole") == 0
    count, own = [0], service.sizes

    class Refusing(list):
        """Sizes of requests; the tenth is the last one that is answered."""

        def append(self, size):
            count[0] += 1
            if count[0] == 10:
                service.statuses = [403]
            own.append(size)

    service.sizes = Refusing()
    assert attack(*words, "--out", "parts") == 2
    assert Path("parts/state.npz").exists()
    service.sizes = own
    assert attack(*words, "--out", "parts") == 0
    whole, parts = (pd.read_csv(f"{name}/examples.csv").drop(columns="seconds") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts)


# ---- Parquet


def test_a_parquet_table(service, capsys):
    pytest.importorskip("pyarrow", exc_type=ImportError)
    pd.read_csv("names.csv").to_parquet("names.parquet", engine="pyarrow")
    check("--model", service.url, *NAMED["parquet"], names=True)
    Path("names.parquet").write_bytes(b"PAR1 and no more")
    assert attack("--model", service.url, *NAMED["parquet"]) == 2
    assert "The table names.parquet cannot be read: " in capsys.readouterr().err


@pytest.mark.parametrize(("words", "sentence"), [(("--rate-limit", "0"), "must be a number above 0. Got 0")])
def test_a_bad_option_of_a_service_is_one_sentence(capsys, words, sentence):
    with pytest.raises(SystemExit):
        attack("--model", "http://localhost:1", *NAMED["csv"], *words)
    assert sentence in capsys.readouterr().err
