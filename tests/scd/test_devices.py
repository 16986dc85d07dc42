"""Names of devices and sizes of memory mean one thing in all rooms."""

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
import torch

from scd import devices
from scd.devices import cuda_is_available, one_torch_thread, parse_bytes, resolve_device, slow_blas

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_torch_device_is_its_name(monkeypatch):
    assert resolve_device(torch.device("cpu")) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [resolve_device(torch.device(name)) for name in ("cuda", "cuda:1")] == ["cuda", "cuda:1"]


@pytest.mark.parametrize("name", ["tpu", "cuda:", "CPU", 0, None, torch.device("meta")])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(ValueError, match=r"^The 'device' parameter of Owner must be 'auto', 'cpu' or 'cuda'\. Got"):
        resolve_device(name, "Owner")


def test_torch_has_as_many_threads_after_an_error_as_before():
    before = torch.get_num_threads()
    with contextlib.suppress(RuntimeError), one_torch_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("imports", "heavy"),
    [
        ("scd.files, scd.seeds, scd.devices, scd.statistics, scd.cache_folder", "torch numba scipy sklearn"),
        ("scd.classifier, attacks", "torch numba"),
        ("scd.search.cpu.ahead", "torch sklearn"),
    ],
)
def test_what_is_imported_with_a_module(imports, heavy):
    program = f"import sys, {imports}\nsys.exit(', '.join(sorted(set({heavy.split()}) & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_is_asked_for_a_device_where_there_is_a_driver(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cuda_is_available(), "torch is imported already, and asked"
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("scd.devices._has_driver", lambda: False)
    assert not cuda_is_available()
    assert "torch" not in sys.modules


def _in_a_fresh_process(code, **environment):
    code = textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FIT = """
    import multiprocessing, threading
    import numpy as np
    from scd import SCDClassifier
    X = np.random.default_rng(0).random((60, 8), dtype=np.float32)
    y = (X.sum(axis=1) > 4).astype(int)
    def fit(seed):
        return SCDClassifier(n_votes=2, n_iter=5, random_state=seed).fit(X, y).votes_[0]["hidden"].tobytes()
"""


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fit_in_a_forked_process_after_one_in_the_parent_gives_the_same_votes():
    out = _in_a_fresh_process(
        FIT
        + """
    fit(0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map_async(fit, [0]).get(timeout=60) == [fit(0)])
    """
    )
    assert out == "True\n"


@pytest.mark.thorough
def test_fits_in_threads_do_not_end_the_process_under_the_layer_workqueue():
    out = _in_a_fresh_process(
        FIT
        + """
    found = {}
    threads = [threading.Thread(target=lambda s=s: found.update({s: fit(s)})) for s in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(found == {s: fit(s) for s in range(4)})
    """,
        NUMBA_THREADING_LAYER="workqueue",
        NUMBA_NUM_THREADS="2",
    )
    assert out == "True\n"


@pytest.mark.thorough
def test_without_compilation_there_is_one_sentence():
    out = _in_a_fresh_process(
        FIT
        + """
    try:
        fit(0)
    except RuntimeError as error:
        print(error)
    """,
        NUMBA_DISABLE_JIT="1",
    )
    assert "NUMBA_DISABLE_JIT" in out


@pytest.mark.parametrize(
    ("kernels", "flags", "said"),
    [
        ("Prescott", {"avx2", "avx512vl"}, "OPENBLAS_CORETYPE=SkylakeX"),
        ("Nehalem", {"avx2"}, "OPENBLAS_CORETYPE=Haswell"),
        ("Prescott", {"sse3"}, None),  # an old processor has these kernels by right
        ("SkylakeX", {"avx2", "avx512vl"}, None),
    ],
)
def test_a_blas_that_does_not_know_the_processor_is_one_sentence(monkeypatch, kernels, flags, said):
    library = {"filepath": "/x/numpy.libs/libopenblas64_.so", "architecture": kernels}
    other = {"filepath": "/x/scipy.libs/libscipy_openblas.so", "architecture": "Prescott"}
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [other, library, {"filepath": "/x/numpy/libgomp.so"}])
    monkeypatch.setattr(devices, "_processor_flags", lambda: flags)
    found = slow_blas()
    assert (found is None) if said is None else (kernels in found and said in found)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert slow_blas() is None, "the user has chosen"
