"""ResNet50: torchvision's network; one vote, one epoch, few rows, since it is large."""

import numpy as np
import pytest
import torch
from torch import nn

from baselines.resnet50 import ResNet50, ResNet50Votes


@pytest.fixture(scope="module")
def fitted(digits):
    """The row left over by a batch of 19 could not be normalised alone: its maps are single values."""
    X, y = digits[0][:20], digits[1][:20]
    return ResNet50Votes(n_votes=1, epochs=1, batch_size=19, feature_shape=(1, 8, 8), random_state=0).fit(X, y)


def torchvisions(arrays):
    import torchvision  # takes as long as torch itself

    with torch.device("meta"):
        network = torchvision.models.resnet50(weights=None)
        network.conv1 = nn.Conv2d(1, 64, 3, stride=1, padding=1, bias=False)
        network.fc = nn.Linear(2048, 2)
    state = {name.removeprefix("net."): torch.from_numpy(array) for name, array in arrays.items()}
    missing, unexpected = network.to_empty(device="cpu").load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return network.eval()


@pytest.mark.thorough
def test_a_vote_is_torchvisions_network_with_trained_batch_normalisation(fitted, digits):
    X = digits[2][:7]
    with torch.no_grad():
        logits = torchvisions(fitted.votes_[0])(torch.from_numpy(X).view(-1, 1, 8, 8)).double()
    np.testing.assert_allclose(fitted.vote_probabilities(X)[:, 0], torch.softmax(logits, 1)[:, 1], atol=1e-4)
    assert all(array.dtype == np.float32 for array in fitted.votes_[0].values())
    means = [array for name, array in fitted.votes_[0].items() if name.endswith("running_mean")]
    assert len(means) == 53, "batch normalisations"
    assert all(np.abs(mean).max() > 0 for mean in means), "each has seen rows"


def test_a_saved_ensemble_holds_no_pickle(fitted, digits, tmp_path):
    fitted.save(tmp_path / "votes.npz")
    loaded = ResNet50Votes.load(tmp_path / "votes.npz")
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.vote_probabilities(digits[2][:7]), fitted.vote_probabilities(digits[2][:7]))


def test_the_starting_weights_are_those_of_torchvision(fitted):
    """Convolutions sqrt(2 / (outputs * kernel)), the last layer within 1 / sqrt(inputs), normalisations 1 and 0."""
    network = ResNet50(3, 8, 8)
    network.initialise(0, torch.Generator().manual_seed(0))
    for name in ("conv1", "layer1.0.conv2", "layer3.2.conv3"):
        weight = network.net.get_submodule(name).weight
        expected = (2 / (weight.shape[0] * weight[0, 0].numel())) ** 0.5
        assert weight.std().item() == pytest.approx(expected, rel=0.05)
    fc = network.net.fc
    assert fc.weight.abs().max() <= 2048**-0.5
    assert fc.weight.std().item() == pytest.approx(2048**-0.5 / 3**0.5, rel=0.05)
    norm = network.net.layer2[0].bn1
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert (norm.running_mean == 0).all()
    assert (norm.running_var == 1).all()


def test_a_batch_of_one_sample_is_refused():
    with pytest.raises(ValueError, match=r"The 'batch_size' parameter of ResNet50Votes must be .* Got 1 instead"):
        ResNet50Votes(batch_size=1).check_params()
