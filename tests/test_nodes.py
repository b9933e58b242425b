"""One run, started in every way that there is: its losses and its weights are the same, bit for bit.

Two ranks on CPUs: by a launcher on this machine, by torchrun, as a Slurm job, and on two machines, which are two
network namespaces with an address each and a cable between them, with ssh and without.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import needs_slurm

from metalang.building import TextBuild, build_corpus
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PORT = str(29_300 + os.getpid() % 300)
ADDRESSES = ("10.213.77.1", "10.213.77.2")
LAUNCHER = f"""#!/usr/bin/env bash
source {ROOT}/scripts/launch/_common.sh
pretrain {{flags}} --output_dir "$run_dir" "$@"
"""
pytest_plugins = ["slurm_cluster"]
pytestmark = pytest.mark.slow


def _has_namespaces():
    if os.getuid() != 0 or not shutil.which("ip"):
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


def _missing(*programs):
    return ", ".join(name for name in programs if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a launcher, what it needs, and `here`, its run on this machine."""
    folder = tmp_path_factory.mktemp("nodes")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    build_corpus(TextBuild(TextSource("pydoc:"), str(folder / "tokenizer")), folder / "english")
    launcher = folder / "tiny.sh"
    launcher.write_text(LAUNCHER.format(flags=" ".join(_flags(folder))))
    launcher.chmod(0o755)
    done = _ended(_started([launcher], RUNS=folder / "here", NUM_GPUS=2))
    assert done[0] == 0, done[1][-5000:]
    return folder


def _flags(folder):
    return [
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", f"{folder}/tokenizer", "--use_cpu",
        "True", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json", "--data_paths",
        f"{folder}/english", "--data_ratios", "1", "--max_length", "32", "--per_device_train_batch_size", "4",
        "--max_steps", "4", "--learning_rate", "1e-3", "--logging_steps", "1", "--save_strategy", "no", "--report_to",
        "none", "--disable_tqdm", "True",
    ]  # fmt: skip


def _environment(**more):
    names = ("PYTHONPATH", "INCLUDE", "NUM_GPUS", "HOSTFILE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "SEEDS")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    fixed = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}  # a sum in other parts is another sum
    return kept | fixed | {name: str(value) for name, value in more.items()}


def _started(command, **environment):
    return subprocess.Popen(
        command, cwd=ROOT, env=_environment(**environment), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _ended(process):
    printed = process.communicate(timeout=600)[0]
    return process.returncode, printed


def _losses(run):
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def _is_that_of_this_machine(run, place):
    here = place / "here/tiny"
    assert len(_losses(here)) == 4
    assert _losses(run) == _losses(here)
    hashes = [hashlib.sha256((each / "model.safetensors").read_bytes()).hexdigest() for each in (run, here)]
    assert hashes[0] == hashes[1]


def test_torchrun_trains_the_same_model(place):
    torchrun = [BIN / "torchrun", "--nproc_per_node", "2", "--master_port", PORT, "train/pretrain.py"]
    code, printed = _ended(_started([*torchrun, *_flags(place), "--output_dir", place / "torchrun"]))
    assert code == 0, printed[-5000:]
    assert "2 ranks on cpu, fp32, DeepSpeed ZeRO-2" in printed
    _is_that_of_this_machine(place / "torchrun", place)


@pytest.fixture
def machines():
    """Two network namespaces that reach each other."""
    if not _has_namespaces():
        pytest.skip("no network namespaces: root and Debian's iproute2 are needed")
    names = [f"metalang{os.getpid()}-{number}" for number in (0, 1)]
    cable = [f"ml{os.getpid() % 100_000}-{number}" for number in (0, 1)]
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", cable[0], "netns", names[0], "type", "veth", "peer", "name", cable[1], "netns", names[1])
        for name, end, address in zip(names, cable, ADDRESSES, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield list(zip(names, cable, strict=True))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def _hostfile(place):
    (place / "hosts").write_text("".join(f"{address} slots=1\n" for address in ADDRESSES))
    return place / "hosts"


def test_two_machines_without_ssh_train_the_same_model(place, machines):
    meeting = {"HOSTFILE": _hostfile(place), "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": PORT, "RUNS": place / "two"}
    started = [
        _started(["ip", "netns", "exec", name, place / "tiny.sh"], NODE_RANK=rank, GLOO_SOCKET_IFNAME=device, **meeting)
        for rank, (name, device) in enumerate(machines)
    ]
    for process in started:
        code, printed = _ended(process)
        assert code == 0, printed[-5000:]
    _is_that_of_this_machine(place / "two/tiny", place)


@pytest.mark.skipif(bool(_missing("sshd", "pdsh")), reason=f"no {_missing('sshd', 'pdsh')}: apt-get install them")
def test_two_machines_that_deepspeed_reaches_by_ssh_train_the_same_model(place, machines, tmp_path):
    daemons = [_sshd(tmp_path, *machine, address) for machine, address in zip(machines, ADDRESSES, strict=True)]
    try:
        ssh = tmp_path / "bin/ssh"  # ssh reads the settings of the user who is logged in, whatever HOME says
        ssh.parent.mkdir()
        options = (
            f"-i {tmp_path}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectionAttempts=20"
        )
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
        ssh.chmod(0o755)
        path = f"{ssh.parent}:{os.environ['PATH']}"
        command = ["ip", "netns", "exec", machines[0][0], place / "tiny.sh"]
        code, printed = _ended(_started(command, HOSTFILE=_hostfile(place), RUNS=place / "ssh", PATH=path))
        assert code == 0, printed[-5000:]
        assert "cmd = pdsh -S -f 1024 -w 10.213.77.1,10.213.77.2 export" in printed
    finally:
        for daemon in daemons:
            daemon.terminate()
            daemon.wait()
    _is_that_of_this_machine(place / "ssh/tiny", place)


def _sshd(folder, name, device, address):
    """A daemon in a namespace, which lets in who has the key, and tells gloo which device leads to the others."""
    if not (folder / "key").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = (
        f"HostKey {folder}/key\nAuthorizedKeysFile {folder}/key.pub\nListenAddress {address}\nStrictModes no\n"
        f"PidFile none\nUsePAM no\nPermitRootLogin yes\nSetEnv GLOO_SOCKET_IFNAME={device} OMP_NUM_THREADS=1\n"
    )
    (folder / f"{name}.conf").write_text(settings)
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    return subprocess.Popen(["ip", "netns", "exec", name, sshd, "-D", "-f", folder / f"{name}.conf"])


@pytest.mark.long  # Slurm begins a job that is queued again after two minutes
@needs_slurm[0]
@needs_slurm[1]
def test_a_job_that_was_stopped_is_queued_again_and_trains_the_same_model(place, slurm):
    once = place / "stopped_once.sh"
    marker = place / "started"
    once.write_text(
        f'#!/usr/bin/env bash\n[[ -e {marker} ]] || {{ touch {marker}; exit 85; }}\nexec {place}/tiny.sh "$@"\n'
    )
    once.chmod(0o755)
    log = place / "job.log"
    command = ["sbatch", "--wait", "--output", log, "--time", "10", "scripts/launch/slurm.sh", once]
    code, printed = _ended(_started(command, RUNS=place / "slurm", NUM_GPUS=2))
    assert code == 0, printed + log.read_text()[-5000:]
    assert not list(ROOT.glob(".hostfile-*"))
    _is_that_of_this_machine(place / "slurm/tiny", place)
