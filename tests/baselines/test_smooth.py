"""The smoothed fraction of votes of the baselines, which a white-box attack uses: its limit and its gradient."""

import numpy as np
import pytest
import torch

from baselines.bnn import BNNVotes
from baselines.lenet import LeNetVotes


def _rows(X):
    return torch.from_numpy(X[:40].copy()).requires_grad_()


def test_bnn_tends_to_its_fraction_of_votes():
    """Weights set by hand: no TensorFlow is needed."""
    rng = np.random.default_rng(0)
    votes = [
        {
            "hidden": rng.choice([-1, 1], (3, 10)).astype(np.int8),
            "thresholds": rng.normal(size=3).astype(np.float32),
            "output": rng.choice([-4, 4], 3).astype(np.int8),
            "output_threshold": np.array(1),
        }
        for _ in range(5)
    ]
    model = BNNVotes(n_votes=5).use_votes(votes, (0, 1), 10)
    X = rng.normal(size=(40, 10)).astype(np.float32)
    x = _rows(X)
    share = model.smooth(x, 1e5, 1e5)
    np.testing.assert_allclose(share.detach().numpy(), model.votes(X).mean(axis=1), atol=1e-3)
    model.smooth(x, 2.0, 2.0).sum().backward()
    assert float(x.grad.abs().min()) > 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_lenet_tends_to_its_fraction_of_votes_and_its_gradient_is_correct(digits):
    X, y, X_test, _ = digits
    model = LeNetVotes(n_votes=2, epochs=1, feature_shape=(1, 8, 8), device="cpu", random_state=0).fit(X, y)
    x = _rows(X_test)
    share = model.smooth(x, 1.0, 1e6)
    np.testing.assert_allclose(share.detach().numpy(), model.votes(X_test[:40]).mean(axis=1), atol=1e-2)
    smooth = model.smooth(x, 1.0, 20.0)
    smooth.sum().backward()
    step = 1e-2 * torch.sign(x.grad)
    gained = (model.smooth((x + step).detach(), 1.0, 20.0) - smooth.detach()).sum()
    assert float(gained) > 0
    assert float(gained) == pytest.approx(float((x.grad * step).sum()), rel=0.2)
