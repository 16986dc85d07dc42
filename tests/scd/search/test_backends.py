"""Every device has a kernel, and unknown or foreign ones are refused."""

import pytest

from scd import SCDClassifier
from scd.search import backend, default_backend


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(ValueError, match=r"The 'backend' parameter must be one of .* Got 'gpu' instead."):
        backend("gpu")


def test_every_device_has_a_kernel_and_a_foreign_one_is_refused(digits):
    assert default_backend("cpu") == "cpu"
    assert default_backend("cuda:1") in ("cuda", "reference")
    assert default_backend("mps") == "reference"
    with pytest.raises(ValueError, match=r"backend='cuda' needs device='cuda'. Got device='cpu'."):
        SCDClassifier(backend="cuda", device="cpu").fit(*digits[:2])
