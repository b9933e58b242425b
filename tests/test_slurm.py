"""Builds as arrays of real Slurm jobs: a controller and a node daemon of Debian's packages, on this machine alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import needs_slurm

from metalang.building import domain_build, synthetic
from metalang.building.corpora import build_corpus
from metalang.building.executors import SlurmExecutor
from metalang.domains.copying import Identity
from metalang.errors import ConfigError

ROOT = Path(__file__).parents[1]
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
pytest_plugins = ["slurm_cluster"]
pytestmark = [pytest.mark.slow, *needs_slurm]


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
