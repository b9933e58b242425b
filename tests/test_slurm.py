"""Builds as arrays of real Slurm jobs: a controller and a node daemon of Debian's packages, on this machine alone."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metalang.building import domain_build, synthetic
from metalang.building.corpora import build_corpus
from metalang.building.executors import SlurmExecutor
from metalang.domains.copying import Identity
from metalang.errors import ConfigError

ROOT = Path(__file__).parents[1]
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
MISSING = [
    name for name in ("slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name, path="/usr/sbin:/usr/bin")
]
pytestmark = [
    pytest.mark.slow,
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


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_jobs_write_the_bytes_of_this_machine(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_UNIT_TOKENS", 10_000)
    build = domain_build(IDENTITY, 40_000)
    build_corpus(build, tmp_path / "here")
    build_corpus(build, tmp_path / "there", SlurmExecutor("debug", memory_gb=1, time="00:10:00", workers=2))
    assert _bytes(tmp_path / "here") == _bytes(tmp_path / "there")
    assert build.num_units == 5
    assert len(list((tmp_path / "there.logs/slurm_logs").glob("*.out"))) >= 5


def test_the_command_line_submits_jobs(slurm, tmp_path):
    command = [
        sys.executable, ROOT / "data_tools/synthesize.py", "--num_token", "100K", "--data_config",
        ROOT / "configs/domains/demo-identity.json", "--executor", "slurm", "--partition", "debug", "--memory_gb", "1",
        "--time", "00:10:00", "--sbatch", "comment=test", "--output_dir", tmp_path / "out",
    ]  # fmt: skip
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("predicted:") == 3


def test_a_unit_that_fails_in_its_job_is_named_with_where_to_look_and_made_on_the_next_start(slurm, tmp_path):
    executor = SlurmExecutor("debug", memory_gb=1, time="00:10:00", environment='export PATH="/nowhere:/usr/bin:/bin"')
    build = domain_build(IDENTITY, 5_000)
    with pytest.raises(ConfigError, match=r"1 of 1 units were not written .*out.logs/slurm_logs"):
        build_corpus(build, tmp_path / "out", executor)
    build_corpus(build, tmp_path / "out", SlurmExecutor("debug", memory_gb=1, time="00:10:00"))
    build_corpus(build, tmp_path / "here")
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "here")


def test_a_partition_that_is_none_is_refused(slurm, tmp_path):
    with pytest.raises(ConfigError, match="sbatch refuses the jobs"):
        build_corpus(domain_build(IDENTITY, 5_000), tmp_path / "out", SlurmExecutor("nowhere", memory_gb=1))
