"""Names of devices and sizes of memory mean one thing in all rooms."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from scd.devices import one_torch_thread, parse_bytes, resolve_device


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), (np.int64(7), 7), ("12", 12), ("3B", 3), ("500 MB", 500 * 10**6), (" 1.5kib ", 1536), ("2GiB", 2 << 30)],
)
def test_a_size_is_a_number_of_bytes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", [0, -5, True, None, 1.5, "", "lots", "0 MB", "0.5", "2 parsecs", "-1GB", "GiB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(
        ValueError, match=r"^The 'cache' parameter of Owner must be .* such as '256MiB'. Got .* instead"
    ):
        parse_bytes(text, "Owner", "cache")


def test_auto_is_cuda_where_there_is_a_device(monkeypatch):
    for present, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda present=present: present)
        assert resolve_device("auto") == name
        assert resolve_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [resolve_device(name) for name in ("cuda", "cuda:1")] == ["cuda", "cuda:1"]


@pytest.mark.parametrize("name", ["tpu", "cuda:", "CPU", 0, None])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(ValueError, match=r"^The 'device' parameter of Owner must be 'auto', 'cpu' or 'cuda'\. Got"):
        resolve_device(name, "Owner")


def test_torch_has_as_many_threads_after_an_error_as_before():
    before = torch.get_num_threads()
    with contextlib.suppress(RuntimeError), one_torch_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_the_leaves_import_nothing_heavy():
    program = (
        "import sys, scd.files, scd.seeds, scd.devices, scd.statistics\n"
        "sys.exit(', '.join(sorted({'torch', 'numba', 'scipy', 'sklearn'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
