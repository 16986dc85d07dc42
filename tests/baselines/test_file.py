"""A trained model from its file predicts as it did; what could run code is refused unless it is trusted."""

from __future__ import annotations

import sys

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from baselines.file import FileModel
from baselines.foreign.formats import in_batches
from baselines.foreign.outputs import ClassForward, Predictor

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other libraries


def same(path, digits, expected, **settings):
    """Load, and compare the labels with those of the model itself."""
    X, y, X_test, _ = digits
    made = FileModel(str(path), feature_shape=settings.pop("feature_shape", (64,)), **settings).fit(X, y)
    np.testing.assert_array_equal(made.predict(X_test), expected)
    probability = made.vote_probabilities(X_test)[:, 0]
    np.testing.assert_array_equal(probability > 0.5, expected == 1)
    return made


def test_a_skops_file(digits, tmp_path):
    io = pytest.importorskip("skops.io")
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC

    X, y, X_test, _ = digits
    svc = SVC().fit(X, y)
    io.dump(svc, tmp_path / "m.skops")
    same(tmp_path / "m.skops", digits, svc.predict(X_test))
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    io.dump(forest, tmp_path / "f.skops")
    with pytest.raises(ValueError, match=r"cannot be used: .*model\.trusted=\[sklearn\.tree\._tree\.Tree\]"):
        FileModel(str(tmp_path / "f.skops")).fit(X, y)
    same(tmp_path / "f.skops", digits, forest.predict(X_test), trusted=["sklearn.tree._tree.Tree"])


@pytest.mark.parametrize("ending", ["ubj", "json"])
def test_an_xgboost_file(digits, tmp_path, ending):
    xgboost = pytest.importorskip("xgboost")
    X, y, X_test, _ = digits
    made = xgboost.XGBClassifier(n_estimators=5).fit(X, y)
    made.save_model(tmp_path / f"m.{ending}")
    same(tmp_path / f"m.{ending}", digits, made.predict(X_test))
    xgboost.XGBRegressor(n_estimators=2).fit(X, y).save_model(tmp_path / f"r.{ending}")
    with pytest.raises(ValueError, match="its objective is 'reg:squarederror'; it must be a classifier"):
        FileModel(str(tmp_path / f"r.{ending}")).fit(X, y)


def test_an_xgboost_file_after_early_stopping_predicts_as_its_classifier_did(digits, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    X, y, X_test, y_test = digits
    made = xgboost.XGBClassifier(n_estimators=40, max_depth=1, learning_rate=3.0, early_stopping_rounds=5)
    made.fit(X, y, eval_set=[(X_test, y_test)], verbose=False)
    everything = made.get_booster().predict(xgboost.DMatrix(X_test)) > 0.5
    assert (everything != made.predict(X_test)).any()
    made.save_model(tmp_path / "m.ubj")
    same(tmp_path / "m.ubj", digits, made.predict(X_test))


def test_a_lightgbm_file(digits, tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    X, y, X_test, _ = digits
    made = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y)
    made.booster_.save_model(tmp_path / "m.txt")
    same(tmp_path / "m.txt", digits, made.predict(X_test))


def test_an_onnx_file(digits, tmp_path):
    pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    X, y, X_test, _ = digits
    made = LogisticRegression(max_iter=500).fit(X, y)
    for options in ({}, {id(made): {"zipmap": False}}):  # labels and dicts of probabilities; scores
        onnx = skl2onnx.to_onnx(made, X[:1], options=options)
        (tmp_path / "m.onnx").write_bytes(onnx.SerializeToString())
        same(tmp_path / "m.onnx", digits, made.predict(X_test))


@pytest.fixture(scope="module")
def network():
    """A small network for digits as images, with two logits."""
    import torch

    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()


@pytest.fixture
def logits(network, digits):
    """Its labels of the test images."""
    import torch

    with torch.no_grad():
        return network(torch.from_numpy(digits[2].reshape(-1, 1, 8, 8))).argmax(1).numpy()


def test_a_torch_module_needs_trust(digits, tmp_path, network, logits):
    import torch

    torch.save(network, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"can run code that it holds: give model\.trust_pickle=true"):
        FileModel(str(tmp_path / "m.pt")).fit(*digits[:2])
    same(tmp_path / "m.pt", digits, logits, trust_pickle=True, feature_shape=(1, 8, 8))


def test_an_exported_torch_program_of_any_or_one_batch_size(digits, tmp_path, network, logits):
    import torch

    X = torch.from_numpy(digits[0][:3].reshape(-1, 1, 8, 8))
    for shapes in (None, ({0: torch.export.Dim("n")},)):
        torch.export.save(torch.export.export(network, (X,), dynamic_shapes=shapes), tmp_path / "m.pt2")
        same(tmp_path / "m.pt2", digits, logits, trust_pickle=True, feature_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="can run code"):
        FileModel(str(tmp_path / "m.pt2")).fit(*digits[:2])


@pytest.mark.slow  # importing Keras takes half a minute
def test_a_keras_file(digits, tmp_path):
    """In a process of its own: Keras chooses its back end once."""
    import subprocess
    from importlib.util import find_spec

    if find_spec("keras") is None:
        pytest.skip("needs keras")
    np.savez(tmp_path / "digits.npz", X=digits[0], y=digits[1], X_test=digits[2])
    program = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import numpy as np, keras
from baselines.file import FileModel
keras.utils.set_random_seed(0)
d = np.load(sys.argv[1] + "/digits.npz")
layers = [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, activation="relu"), keras.layers.Flatten()]
for out, activation, threshold in ((2, "softmax", 0.5), (1, "sigmoid", 0.5), (1, None, 0.0)):
    net = keras.Sequential([*layers, keras.layers.Dense(out, activation)])
    net.save(sys.argv[1] + "/m.keras")
    model = FileModel(sys.argv[1] + "/m.keras", feature_shape=(1, 8, 8), channels_last=True, threshold=threshold)
    scores = keras.ops.convert_to_numpy(net(d["X_test"].reshape(-1, 8, 8, 1)))
    expected = scores.argmax(1) if out == 2 else (scores[:, 0] > threshold).astype(int)
    assert (model.fit(d["X"], d["y"]).predict(d["X_test"]) == expected).all()
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_pickle_needs_trust_and_warns(digits, tmp_path):
    import joblib
    from sklearn.svm import SVC

    X, y, X_test, _ = digits
    svc = SVC().fit(X, np.array(["three", "eight"])[y])
    joblib.dump(svc, tmp_path / "m.joblib")
    with pytest.raises(ValueError, match=r"can run code that it holds"):
        FileModel(str(tmp_path / "m.joblib")).check_params()
    with pytest.warns(UserWarning, match="is loaded as a pickle, which runs whatever code it holds"):
        made = FileModel(str(tmp_path / "m.joblib"), trust_pickle=True, class_names=("three", "eight")).fit(X, y)
    np.testing.assert_array_equal(made.predict(X_test) == 1, svc.predict(X_test) == "eight")


def test_another_file_is_another_model(digits, tmp_path):
    import joblib
    from sklearn.svm import SVC

    X, y = digits[:2]
    joblib.dump(SVC().fit(X, y), tmp_path / "m.joblib")
    made = FileModel(str(tmp_path / "m.joblib"), trust_pickle=True).fit(X, y)
    first = made.inputs()
    joblib.dump(SVC(C=7).fit(X, y), tmp_path / "m.joblib")
    assert made.inputs() != first
    with pytest.raises(ValueError, match=f"it is of the model {first['file'][:12]}"):
        made.use_votes(made.votes_)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "'path' parameter of FileModel must be the file of a trained model. Got None"),
        ({"path": "/nothing.onnx"}, "must be a file, but /nothing.onnx does not exist"),
        ({"path": __file__}, r"must end in \.skops, \.ubj, .*Got .*test_file\.py'"),
        ({"path": __file__, "n_votes": 2}, r"'n_votes' parameter of FileModel must be a int among \{1\}"),
        ({"path": __file__, "classes": ["a", "a"]}, "'classes' parameter of FileModel must be two or more names"),
    ],
)
def test_a_bad_parameter_is_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        FileModel(**settings).check_params()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    for ending, package in (("skops", "skops"), ("ubj", "xgboost"), ("txt", "lightgbm"), ("onnx", "onnxruntime")):
        monkeypatch.setitem(sys.modules, package, None)
        (tmp_path / f"m.{ending}").touch()
        with pytest.raises(ValueError, match=f"the form .{ending} needs {package}; run: pip install {package}"):
            FileModel(str(tmp_path / f"m.{ending}")).check_params()


class Cautious(LogisticRegression):
    """Names a class that it finds possible, although another may be likelier."""

    def predict(self, x):
        """(n,) labels."""
        return np.where(self.predict_proba(x)[:, 2] > 0.1, self.classes_[2], super().predict(x))


def test_labels_are_those_that_the_model_predicts_not_the_largest_of_its_probabilities(tmp_path):
    X, y = load_iris(return_X_y=True)
    made = Cautious(max_iter=500).fit(X, y.astype(float))
    joblib.dump(made, tmp_path / "m.joblib")
    names = {"class_names": ("0", "1", "2"), "trust_pickle": True}
    model = FileModel(str(tmp_path / "m.joblib"), **names).fit(X, y)
    assert (made.predict(X) != made.predict_proba(X).argmax(axis=1)).any()
    np.testing.assert_array_equal(model.predict(X), made.predict(X))
    two = FileModel(str(tmp_path / "m.joblib"), class_names=("0", "1"), trust_pickle=True).fit(X[:100], y[:100])
    scores = made.predict_proba(X)[:, :2]  # of a model with more classes only those of the data set are compared
    np.testing.assert_array_equal(two.predict(X), scores.argmax(axis=1))


def test_a_damaged_file_is_one_sentence(digits, tmp_path):
    (tmp_path / "m.joblib").write_text("no model")
    with pytest.raises(ValueError, match=r"The model file .*m\.joblib cannot be used: ") as caught:
        FileModel(str(tmp_path / "m.joblib"), trust_pickle=True).fit(*digits[:2])
    assert "\n" not in str(caught.value)


X3 = np.zeros((3, 2), dtype=np.float32)


def forward(outputs, classes=None, names=("0", "1"), given=None, threshold=0.5):
    return ClassForward(Predictor(lambda x: np.asarray(outputs), classes, threshold), names, given)


@pytest.mark.parametrize(
    ("made", "labels", "probabilities"),
    [
        (forward([0, 1, 1]), [0, 1, 1], [0, 1, 1]),
        (forward(["b", "a", "b"], ("a", "b"), ("b", "a")), [0, 1, 0], [0, 1, 0]),
        (forward([0.2, 0.5, 0.9]), [0, 0, 1], [0.2, 0.5, 0.9]),
        (forward([[-2.0], [0.0], [2.0]], threshold=0), [0, 0, 1], [0.1192, 0.5, 0.8808]),
        (forward([0.2, 0.4, 0.9], names=("1", "0")), [1, 1, 0], [0.8, 0.6, 0.1]),
        (forward([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]), [0, 0, 1], [0.1, 0.5, 0.8]),
        (forward([[5.0, 1, 3], [5, 3, 1], [5, 2, 2]], names=("1", "2")), [1, 0, 0], [0.8808, 0.1192, 0.5]),
        (forward([[0.5, 0.1, 0.4], [0, 0.5, 0.5], [1, 0, 0]], given=[2, 0]), [1, 0, 1], [0.5556, 0, 1]),
    ],
)
def test_outputs_become_labels_and_probabilities(made, labels, probabilities):
    assert made.labels(X3)[:, 0].tolist() == labels
    np.testing.assert_allclose(made.probabilities(X3)[:, 0], probabilities, atol=1e-4)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (forward([[1.0, 2, 3]] * 3, names=("cat", "dog")), r"3 classes \(0, 1, 2\).*cat, dog.*model\.classes="),
        (forward([0, 1, 2], ("0", "1", "2")), "predicts the class '2', but a label must be one of 0, 1;"),
        (
            forward([[1.0, 2]] * 3, ("a", "b"), given=["a", "c"]),
            r"two of the model's classes a, b, one for each.*got 'c'",
        ),
        (forward([[1.0, 2]] * 2), "a row of scores for each of 3 inputs"),
        (forward([np.nan, 1, 0]), "finite scores"),
    ],
)
def test_outputs_that_cannot_be_told_are_refused(made, sentence):
    with pytest.raises(ValueError, match=sentence):
        made.labels(X3)


def test_labels_that_are_numbers_are_those_of_the_classes_in_their_order_whatever_the_batch_holds():
    """As of scores. Where the names of the classes are numbers themselves, labels are names."""

    def forward(names, dtype=np.int64):
        return ClassForward(Predictor(lambda x: x[:, 0].astype(dtype)), names, None)

    x = np.array([[2.0], [1.0], [2.0]], dtype=np.float32)
    for part in (slice(3), slice(1)):
        assert forward(("a", "b", "c")).labels(x[part])[:, 0].tolist() == x[part, 0].tolist()
        assert forward(("2", "1")).labels(x[part])[:, 0].tolist() == [0, 1, 0][part]
    with pytest.raises(ValueError, match="predicts the class '2', but a label must be one of 0, 1"):
        forward(("a", "b")).labels(x)


def test_a_fixed_batch_is_padded():
    seen = []

    def run(x):
        seen.append(len(x))
        return x[:, 0]

    x = np.arange(7, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(in_batches(run, 3)(x), x[:, 0])
    assert seen == [3, 3, 3]
