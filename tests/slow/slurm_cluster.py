"""A SLURM cluster of one node on loopback, out of Debian's packages: munge, MariaDB, slurmdbd, slurmctld and slurmd.

Accounting (slurmdbd on MariaDB) is part of it because submitit learns from ``sacct`` that a job was killed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacct")
PACKAGES = "slurm-wlm slurmdbd munge mariadb-server-core mariadb-client-core"

SLURM = """
ClusterName=scd
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={d}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DATABASE = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
"""


def why_not() -> str:
    """What is missing to start a cluster here; '' for nothing."""
    if os.name != "posix" or os.geteuid() != 0:
        return "needs root, to start slurmd"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"needs {', '.join(absent)}: apt-get install {PACKAGES}" if absent else ""


@contextlib.contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start the cluster with all its files in `folder`, yield the environment of its users, end it.

    Raises
    ------
    RuntimeError
        A part of it does not come up; with the ends of the logs.
    """
    names = ("ctld", "d", "dbd", "sql")
    values = dict(zip(names, _free_ports(len(names)), strict=True))
    host = platform.node().split(".")[0]
    text = {"folder": folder, "host": host, "cpus": os.cpu_count(), "password": secrets.token_hex(8), **values}
    for name in ("state", "spool", "sql"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(SLURM.format(**text))
    (folder / "slurmdbd.conf").write_text(DATABASE.format(**text))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(64))
    (folder / "munge.key").chmod(0o600)
    make = ["CREATE DATABASE slurm;"]  # a statement a line, as the server wants it
    for at in ("localhost", "127.0.0.1"):
        make += [
            f"CREATE USER slurm@'{at}' IDENTIFIED BY '{text['password']}';",
            f"GRANT ALL ON slurm.* TO slurm@'{at}';",
        ]
    (folder / "init.sql").write_text("\n".join([*make, ""]))
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
    with contextlib.ExitStack() as running:

        def run(name: str, *words: str) -> None:
            log = running.enter_context((folder / f"{name}.log").open("w"))
            process = subprocess.Popen([*words], env=environment, stdout=log, stderr=log, cwd=folder)
            running.callback(_end, process)

        run("munged", "munged", "-F", "-f", f"--socket={folder}/munge.socket", f"--key-file={folder}/munge.key",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munge.seed")  # fmt: skip
        made = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={folder}/sql", "--skip-test-db"]
        subprocess.run(made, env=environment, check=True, capture_output=True, cwd=folder)
        run("mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={folder}/sql",
            "--bind-address=127.0.0.1", f"--port={values['sql']}", f"--socket={folder}/sql.socket",
            f"--init-file={folder}/init.sql", f"--pid-file={folder}/sql.pid",
            "--innodb-buffer-pool-size=64M")  # fmt: skip
        _until(lambda: _listens(values["sql"]), folder, "mariadbd")
        run("slurmdbd", "slurmdbd", "-D", "-s")
        _until(lambda: _listens(values["dbd"]), folder, "slurmdbd")
        _until(lambda: _says(environment, "sacctmgr", "-i", "add", "cluster", "scd"), folder, "sacctmgr")
        run("slurmctld", "slurmctld", "-D", "-i", "-f", str(folder / "slurm.conf"))
        run("slurmd", "slurmd", "-D", "-f", str(folder / "slurm.conf"))
        _until(lambda: "idle" in _says(environment, "sinfo", "-h", "-o", "%T"), folder, "slurmd")
        yield environment


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        found = []
        for _ in range(count):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found.append(probe.getsockname()[1])
        return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _says(environment: dict[str, str], *words: str) -> str:
    """What a command prints; '' while it fails."""
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else ""


def _until(ready, folder: Path, name: str) -> None:
    deadline = time.monotonic() + 90
    while not ready():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{log.name}: {log.read_text()[-600:]}" for log in sorted(folder.glob("*.log")))
            raise RuntimeError(f"{name} does not come up.\n{logs}")
        time.sleep(0.5)


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
