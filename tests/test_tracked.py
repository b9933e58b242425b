"""wandb's offline file, as wandb itself writes it, read back."""

import subprocess
import sys

import pytest

from metalang.errors import CorpusError
from metalang.tracked import read_records, read_wandb

_WRITER = """
import sys, wandb
run = wandb.init(mode="offline", dir=sys.argv[1], id="abc123", config={"seed": 7, "data": {"ratios": [1, 2]}},
                 settings=wandb.Settings(quiet=True, console="off"))
run.config.update({"late": "x"})
for step in range(100):
    run.log({"train/loss": 4.5 - step / 100, "train/global_step": step, "note": "n" * 1000})
run.log({"eval/wiki_loss": 3.25, "note": "n" * 100_000})
run.finish()
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file of some 200 kB: records that end with a block, and one that fills three."""
    folder = tmp_path_factory.mktemp("tracked")
    subprocess.run([sys.executable, "-c", _WRITER, str(folder)], check=True, capture_output=True)
    (path,) = folder.glob("wandb/offline-run-*/run-abc123.wandb")
    return path


def test_config_and_rows_are_those_that_wandb_was_given(written):
    config, rows = read_wandb(written)
    assert config == {"seed": 7, "data": {"ratios": [1, 2]}, "late": "x"}
    assert len(rows) == 101
    assert (rows[0]["train/loss"], rows[99]["train/loss"]) == (4.5, 3.51)
    assert [row["train/global_step"] for row in rows[:100]] == list(range(100))
    assert rows[100]["eval/wiki_loss"] == 3.25
    assert rows[100]["note"] == "n" * 100_000
    assert "_wandb" not in config


def test_a_file_that_a_crash_cut_short_is_read_up_to_there(written, tmp_path):
    content = written.read_bytes()
    torn = tmp_path / "torn.wandb"
    counts = []
    for size in (7, 60_000, 60_001, len(content) - 1):
        torn.write_bytes(content[:size])
        _, rows = read_wandb(torn)
        assert [row["train/global_step"] for row in rows[:100]] == list(range(min(len(rows), 100)))
        counts.append(len(rows))
    assert counts[0] == 0 < counts[1] <= counts[2] < counts[3] == 101


def test_every_record_has_its_kind(written):
    kinds = {record.WhichOneof("record_type") for record in read_records(written)}
    assert {"run", "config", "history", "summary", "exit"} <= kinds


def test_a_flipped_bit_is_found_and_another_file_is_refused(written, tmp_path):
    content = bytearray(written.read_bytes())
    content[50_000] ^= 1
    (tmp_path / "flipped.wandb").write_bytes(bytes(content))
    with pytest.raises(CorpusError, match=r"flipped\.wandb is damaged at byte \d+,\d+; copy it again"):
        read_wandb(tmp_path / "flipped.wandb")
    (tmp_path / "other.wandb").write_text("no log")
    with pytest.raises(CorpusError, match=r"other\.wandb is no offline file of wandb 0\.31; give a run-"):
        read_wandb(tmp_path / "other.wandb")
