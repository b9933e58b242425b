"""A cluster of one node on this machine: a controller and a node daemon of Debian's Slurm packages."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

MISSING = [
    name for name in ("slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name, path="/usr/sbin:/usr/bin")
]
needs_slurm = [
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: apt-get install slurmctld slurmd slurm-client"),
    pytest.mark.skipif(os.getuid() != 0, reason="slurmd has to be started by root"),
]
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
AuthInfo=cred_expire=2
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MailProg=/bin/true
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running cluster of one node; SLURM_CONF names it."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    config = CONFIG.format(folder=folder, host=host, ports=(_free_port(), _free_port()))
    (folder / "slurm.conf").write_text(config)
    before = dict(os.environ)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    os.environ["PATH"] += ":/usr/sbin:/usr/bin"
    daemons = []
    with open(folder / "daemons.log", "wb") as log:
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
        _wait_for_node(folder)
        yield folder
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=30)
    os.environ.clear()
    os.environ.update(before)


def _wait_for_node(folder):
    for _ in range(120):
        state = subprocess.run(["sinfo", "--noheader", "--format", "%T"], capture_output=True, text=True, check=False)
        if state.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    pytest.fail(f"the node is {state.stdout!r} {state.stderr!r}: {(folder / 'daemons.log').read_text()[-2000:]}")
