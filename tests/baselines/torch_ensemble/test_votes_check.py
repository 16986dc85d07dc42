"""Networks refuse weights of another shape or type, before they predict."""

import numpy as np
import pytest
import torch

from baselines.cnn1d import CNN1DVotes
from baselines.lenet import LeNetVotes
from baselines.resnet50 import ResNet50Votes
from baselines.wordcnn import WordCNNVotes

VECTORS = np.concatenate([np.zeros((1, 4)), np.ones((6, 4))]).astype(np.float32)
KINDS = {
    "lenet": LeNetVotes(feature_shape=(1, 8, 8), device="cpu"),
    "cnn1d": CNN1DVotes(device="cpu"),
    "resnet50": ResNet50Votes(feature_shape=(1, 8, 8), device="cpu"),
    "wordcnn": WordCNNVotes(vectors=VECTORS, filters=3, device="cpu"),
}


def weights_of(model):
    """Weights of one vote, all 0.5."""
    make = model._word_network(1, 4) if isinstance(model, WordCNNVotes) else model._make(64)(1)
    return {name: torch.full(array.shape[1:], 0.5).numpy() for name, array in make.arrays().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_checked(kind):
    model = KINDS[kind]
    vote = weights_of(model)
    assert model.use_votes([vote], (0, 1), 64).votes(np.zeros((1, 64), dtype=np.float32)).shape == (1, 1)
    name = list(vote)[-1]
    for bad in (vote[name][..., :-1], vote[name] * np.nan, vote[name].astype(str), vote[name][None]):
        with pytest.raises(ValueError, match=rf"Vote 1 of \w+ cannot be used: its array '{name}'"):
            model.use_votes([vote, {**vote, name: bad}], (0, 1), 64)
    with pytest.raises(ValueError, match=r"Vote 0 of \w+ cannot be used: its array '\S+' is missing"):
        model.use_votes([{"weights": np.zeros(3)}], (0, 1), 64)


def test_negative_variances_are_refused():
    vote = weights_of(KINDS["resnet50"])
    name = next(name for name in vote if name.endswith("running_var"))
    with pytest.raises(ValueError, match=rf"'{name}' holds negative variances"):
        KINDS["resnet50"].use_votes([{**vote, name: -vote[name]}], (0, 1), 64)
