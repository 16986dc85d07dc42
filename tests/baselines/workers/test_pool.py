"""Worker processes that train votes end with the process that started them."""

import os
import signal
import subprocess
import sys
import time

import pytest

SLOW_FIT = """
import os, sys, time
from pathlib import Path
from baselines.workers.pool import train_in_parallel

def train(vote):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(100)

if __name__ == "__main__":
    train_in_parallel(train, range(6), 2, "processes", outside=sys.argv[2] == "outside")
"""


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)
    return found


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.thorough
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
@pytest.mark.parametrize("how", ["inside", "outside"])
def test_a_killed_fit_leaves_no_worker_behind(tmp_path, how):
    script, started = tmp_path / "fit.py", tmp_path / "started"
    script.write_text(SLOW_FIT)
    started.mkdir()
    with subprocess.Popen([sys.executable, script, started, how], env={**os.environ, "PYTHONPATH": "."}) as fit:
        workers = wait_for(lambda: (found := list(started.iterdir())) and len(found) == 2 and found)
        assert all(is_alive(path.name) for path in workers)
        fit.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(is_alive(path.name) for path in workers))
