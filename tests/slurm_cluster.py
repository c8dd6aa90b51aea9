"""A real Slurm on loopback: one node, this machine, with its own munge, controller and daemon in a folder."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
PLUGIN = "snakemake_executor_plugin_slurm"
# Debian keeps daemons where a user's PATH does not look.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

CONF = """\
ClusterName=folklore
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no cluster here, or nothing."""
    absent = [name for name in COMMANDS if not shutil.which(name, path=PATH)]
    if absent:
        return f"not installed: {', '.join(absent)}; on Debian: apt-get install slurm-wlm slurm-wlm-basic-plugins munge"
    if importlib.util.find_spec(PLUGIN) is None:
        return f"{PLUGIN} is not installed: `make test-slurm` does it"
    return ""


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands reach the cluster, while it is up."""
    conf, commands = _configured(folder), f"{folder / 'bin'}{os.pathsep}{PATH}"
    _wrap_srun(folder / "bin", conf)
    environment = os.environ | {"SLURM_CONF": str(conf), "PATH": commands}
    (folder / "key").write_bytes(secrets.token_bytes(128))
    (folder / "key").chmod(0o400)
    files = {
        "socket": "munge.socket",
        "pid-file": "munged.pid",
        "log-file": "munged.log",
        "seed-file": "seed",
    }
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={folder / 'key'}", *options],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-c"],
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            log = (folder / f"{command[0]}.out").open("wb")
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            time.sleep(0.5)
        _wait_until_idle(environment, folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--user", _user()], env=environment, timeout=30, check=False)
        time.sleep(1)
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def squeue(environment: dict[str, str], *, state: str = "all") -> list[tuple[str, str]]:
    """Number and comment (the rule) of the jobs in this state."""
    command = ["squeue", "--noheader", "--states", state, "--format", "%i %k"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
    return [tuple(line.split(maxsplit=1)) for line in said.stdout.splitlines()]


def _configured(folder: Path) -> Path:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    controller, daemon = _free_ports()
    filled = CONF.format(
        host=socket.gethostname().partition(".")[0],
        user=_user(),
        folder=folder,
        controller=controller,
        daemon=daemon,
        cpus=os.cpu_count(),
    )
    conf = folder / "slurm.conf"
    conf.write_text(filled)
    return conf


def _wrap_srun(folder: Path, conf: Path) -> None:
    """The plugin hides SLURM_CONF from the job step, which on a real cluster reads /etc/slurm: here it is told again."""
    folder.mkdir()
    script = folder / "srun"
    script.write_text(f'#!/bin/sh\nSLURM_CONF="{conf}" exec {shutil.which("srun", path=PATH)} "$@"\n')
    script.chmod(0o755)


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    for _ in range(60):
        said = subprocess.run(
            ["sinfo", "--noheader", "--format", "%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if said.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = "\n".join(f"{log.name}: {log.read_text()[-500:]}" for log in sorted(folder.glob("*.out")))
    raise RuntimeError(f"the cluster does not come up: {said.stdout}{said.stderr}\n{logs}")
