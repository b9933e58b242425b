"""Runs that wandb holds: its real client and a server on this machine; and its offline files."""

import csv
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from wandb_server import server_of

from metalang.comparison.groups import Group, grouped
from metalang.comparison.notes import notes
from metalang.comparison.runs import read_runs

ROOT = Path(__file__).parents[1]
KEY = "0123456789" * 4
NAN = float("nan")


def _rows(losses):
    """As the Trainer's callback logs them: an evaluation every 10 steps of 10 tokens, and behind it a training loss."""
    rows = [
        {"train/global_step": 10 * place, "train/tokens_seen": 100 * place, **log}
        for place, loss in enumerate(losses)
        for log in ({"eval/wiki_loss": loss}, {"train/loss": loss + 1})
    ]
    return [{"_step": step, "_timestamp": 1e9 + step} | row for step, row in enumerate(rows)]


@contextmanager
def _served(runs):
    server = server_of(runs)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _compared(home, *places, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    command = [sys.executable, "train/compare.py", *places, "--baseline", places[0], "--output_dir", f"{home}/out"]
    environment = kept | {"HOME": str(home), "WANDB_HTTP_TIMEOUT": "2"} | environment
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=120)


def test_runs_of_wandbs_server_are_read_by_its_own_client_and_anew_each_time(tmp_path):
    base = {"run_name": "base/seed-0", "seed": 0, "learning_rate": 1e-3, "corpora": {"english": "ab"}}
    runs = {
        "b0": (base, _rows((4.0, 3.0, 2.0))),
        "b1": (base | {"run_name": "base/seed-1", "seed": 1}, _rows((4.0, 3.2, 2.2))),
    }
    with _served(runs) as address:
        for slower, reached in ((2.0, 0.525), (3.0, 0.2)):
            rows = _rows((4.0, slower, 1.5))
            rows[-1]["train/loss"] = NAN
            runs["f0"] = (base | {"run_name": "faster", "learning_rate": 2e-3}, rows)
            places = (f"wandb:me/p/{run_id}" for run_id in runs)
            done = _compared(tmp_path, *places, WANDB_BASE_URL=address, WANDB_API_KEY=KEY)
            assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"{tmp_path}/out/index.html", "")
            with (tmp_path / "out/comparison.csv").open() as file:
                numbers = {(row["group"], row["metric"], row["quantity"]): row["value"] for row in csv.DictReader(file)}
            assert float(numbers["base", "eval_wiki_loss", "final"]) == pytest.approx(2.1)
            assert float(numbers["faster", "", "token_efficiency"]) == pytest.approx(reached)
            assert (numbers["base", "loss", "runs"], numbers["faster", "loss", "final"]) == ("2", "")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "compare: wandb:me/p/x needs a key of wandb, and there is none: give WANDB_API_KEY"),
        (
            {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "served"},
            "compare: wandb did not give the run me/p/x (Could not find",
        ),
        (
            {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"},
            "compare: wandb did not give the run me/p/x (",
        ),
    ],
    ids=["key", "run", "network"],
)
def test_wandb_without_a_key_a_run_or_a_network_is_one_line(tmp_path, environment, message):
    with _served({}) as address:
        done = _compared(
            tmp_path, "wandb:me/p/x", **{k: address if v == "served" else v for k, v in environment.items()}
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


OFFLINE = """
import sys
import wandb
folder, steps = sys.argv[1], [int(step) for step in sys.argv[2:]]
config = {"output_dir": "runs/resumed/seed-3", "seed": 3, "corpora": {"english": "ab"}}
run = wandb.init(mode="offline", dir=folder, id="abcd", config=config, settings=wandb.Settings(silent=True))
for step in steps:
    loss = float("nan") if step == 20 else 4 - step / 10
    run.log({"train/global_step": step, "train/tokens_seen": 10 * step, "eval/wiki_loss": loss})
run.finish()
"""


def test_offline_files_of_a_resumed_run_are_one_run_whose_later_rows_hold(tmp_path):
    for steps in ("0 10 20", "10 30"):
        subprocess.run(
            [sys.executable, "-c", OFFLINE, str(tmp_path), *steps.split()],
            check=True,
            env=os.environ | {"HOME": str(tmp_path)},
        )
    (run,) = read_runs([str(tmp_path / "wandb")])
    (group,), other = grouped([run]), Group("other", (replace(run, place="/elsewhere"),))
    assert len(notes(group, [group], "eval_wiki_loss", {})) == 1  # of the NaN
    assert notes(group, [group, other], "eval_wiki_loss", {})[0].startswith("Some runs are read from their folders and")
    assert (run.name, run.seed, run.corpora) == ("resumed/seed-3", 3, {"english": "ab"})
    assert [log["step"] for log in run.logs] == [0, 10, 20, 30]
    assert [log["eval_wiki_loss"] for log in run.logs] == pytest.approx([4.0, 3.0, NAN, 1.0], nan_ok=True)
