"""Data of the baselines' tests."""

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits 3 against 8 in [0, 1]: train rows and labels, test rows and labels."""
    X, y = load_digits(return_X_y=True)
    chosen = np.isin(y, (3, 8))
    X, y = (X[chosen] / 16).astype(np.float32), (y[chosen] == 8).astype(np.int64)
    return X[:250], y[:250], X[250:], y[250:]
