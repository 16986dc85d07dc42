"""Models of ART and Foolbox are attacked as they are, with the result of the plain function of their labels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from attacks import HopSkipJump, RayS
from attacks.engine.adapters import DEFAULT_CLIP, clip_of
from tests.attacks.half_space import same_result

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:foolbox.*")
QUICK = {"max_iter": 3, "restarts": 2, "init_eval": 20}
SHAPE = (1, 2, 2)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def network(iris):
    """A linear classifier of the samples as images, as a torch module."""
    x, y = iris
    fitted = LogisticRegression(max_iter=500).fit(x, y)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    with torch.no_grad():
        module[1].weight[:] = torch.from_numpy(fitted.coef_)
        module[1].bias[:] = torch.from_numpy(fitted.intercept_)
    return module.eval()


def labels_of(module):
    def labels(inputs):
        with torch.no_grad():
            return module(torch.as_tensor(inputs)).argmax(dim=1).numpy()

    return labels


@pytest.mark.parametrize("attack", [HopSkipJump(**QUICK), HopSkipJump(**QUICK, norm="linf"), RayS(query_budget=150)])
@pytest.mark.parametrize("clip", [(0.0, 8.0), (np.zeros(4), np.array([8.0, 5.0, 7.0, 3.0]))])
def test_a_classifier_of_art_gives_labels_and_bounds(iris, attack, clip):
    art = pytest.importorskip("art.estimators.classification")
    x, y = iris
    model = LogisticRegression(max_iter=500).fit(x, y)
    estimator = art.SklearnClassifier(model, clip_values=clip)
    assert same_result(attack(estimator, x[:3], y[:3]), attack(model.predict, x[:3], y[:3], clip=clip))


def test_a_torch_classifier_of_art_takes_images(iris, network):
    art = pytest.importorskip("art.estimators.classification")
    x, y = iris[0][60:63].reshape(-1, *SHAPE), iris[1][60:63]
    estimator = art.PyTorchClassifier(
        network, torch.nn.CrossEntropyLoss(), input_shape=SHAPE, nb_classes=3, clip_values=(0, 8), device_type="cpu"
    )
    attack = HopSkipJump(**QUICK)
    assert same_result(attack(estimator, x, y), attack(labels_of(network), x, y, clip=(0, 8)))


def test_an_estimator_of_art_that_is_no_classifier_is_refused(iris):
    estimator = type("Encoder", (), {"__module__": "art.estimators.encoding.base"})()
    with pytest.raises(ValueError, match=r"An ART estimator must be a classifier with predict\. Got a Encoder\."):
        HopSkipJump(**QUICK)(estimator, iris[0][:1], [0])


def foolbox_model(network):
    """A PyTorchModel or, without Foolbox, an object with its documented interface: call, bounds, dummy."""
    try:
        import foolbox
    except ImportError:
        dummy = SimpleNamespace(from_numpy=lambda array: SimpleNamespace(raw=torch.from_numpy(array)))
        members = {
            "__module__": "foolbox.models.pytorch",
            "__call__": lambda self, inputs: network(inputs),
            "bounds": (0, 8),
            "dummy": dummy,
        }
        return type("PyTorchModel", (), members)()
    return foolbox.PyTorchModel(network, bounds=(0, 8), device="cpu")


@pytest.mark.parametrize("attack", [HopSkipJump(**QUICK), RayS(query_budget=150)])
def test_a_model_of_foolbox_gives_labels_and_bounds(iris, network, attack):
    x, y = iris[0][60:63].reshape(-1, *SHAPE), iris[1][60:63]
    result = attack(foolbox_model(network), x, y)
    assert same_result(result, attack(labels_of(network), x, y, clip=(0, 8)))
    assert result.adversarials.max() > 1  # beyond the default bounds


def test_bounds_that_the_caller_gives_are_kept(network):
    model = foolbox_model(network)
    assert tuple(clip_of(model, DEFAULT_CLIP)) == (0, 8)
    given = (0.0, float(len("1")))  # equal to the default
    assert given == DEFAULT_CLIP
    assert clip_of(model, given) is given
    assert clip_of(network, DEFAULT_CLIP) is DEFAULT_CLIP
