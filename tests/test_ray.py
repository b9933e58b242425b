"""Builds as tasks of a real Ray cluster, started here; skipped where Ray is not installed."""

from pathlib import Path

import pytest

from metalang.building import domain_build, synthetic
from metalang.building.corpora import build_corpus
from metalang.building.executors import RayExecutor
from metalang.domains.copying import Identity

pytestmark = pytest.mark.slow
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_tasks_write_the_bytes_of_this_machine(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="no Ray: pip install 'ray[default]'")
    monkeypatch.setattr(synthetic, "_UNIT_TOKENS", 10_000)
    build = domain_build(IDENTITY, 40_000)
    build_corpus(build, tmp_path / "here")
    build_corpus(build, tmp_path / "there", RayExecutor(2))
    ray.shutdown()
    assert _bytes(tmp_path / "here") == _bytes(tmp_path / "there")
    assert build.num_units == 5
