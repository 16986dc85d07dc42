"""Data of the scd tests; keeps tests from waiting for busy cores."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits


@pytest.fixture(autouse=True)
def one_thread():
    """Small arrays gain nothing from threads; a test that is about threads sets them itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits 3 against 8 in [0, 1]: train rows and labels, test rows and labels."""
    X, y = load_digits(return_X_y=True)
    chosen = np.isin(y, (3, 8))
    X, y = (X[chosen] / 16).astype(np.float32), (y[chosen] == 8).astype(np.int64)
    return X[:250], y[:250], X[250:], y[250:]
