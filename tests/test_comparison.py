"""Runs beside a baseline: the numbers by hand, the page in a browser, and what cannot be compared."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from metalang.comparison import compare
from metalang.comparison.curves import Curve, mean_curve
from metalang.comparison.groups import differences, grouped
from metalang.comparison.measures import saved, sign_test
from metalang.comparison.runs import read_runs
from metalang.errors import ConfigError, CorpusError

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def _run(folder, losses, *, seed=0, metas=(0, 0, 0), corpora=None, evaluated="eval_wiki_loss", before=None, **flags):
    """The folder of a run that evaluated `losses` at 0, 100, 200, ... tokens, of which `metas` were artificial."""
    folder.mkdir(parents=True)
    logs = [
        {"step": place, "tokens_seen": 100 * place, "tokens_seen_meta": meta, evaluated: loss, "tokens_per_second": 7.0}
        for place, (loss, meta) in enumerate(zip(losses, metas, strict=True))
    ]
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": len(logs) - 1, "log_history": logs}))
    asked = {
        "model": {"model_name_or_path": "tiny.json"},
        "data": {"data_paths": [f"{folder}/data"]},
        "run": {"seed": seed, "output_dir": str(folder), "learning_rate": 1e-3, **flags},
    }
    described = {
        **asked,
        "corpora": corpora or {"english": "ab"},
        "versions": {"torch": "2.13.0"},
        "order": f"of{seed}",
        "before": before or {},
    }
    (folder / "run.json").write_text(json.dumps(described))


@pytest.fixture
def runs(tmp_path):
    """A baseline of two seeds, and one that reads 50 artificial tokens first and then learns twice as fast."""
    _run(tmp_path / "base/seed-0", (4.0, 3.0, 2.0))
    _run(tmp_path / "base/seed-1", (4.0, 3.2, 2.2), seed=1)
    mixed = {"english": "ab", "dyck": "cd"}
    _run(tmp_path / "dyck/seed-0", (4.0, 2.0, 1.5), metas=(0, 50, 50), corpora=mixed)
    _run(tmp_path / "dyck/seed-1", (4.0, 2.2, 1.7), seed=1, metas=(0, 50, 50), corpora=mixed)
    return tmp_path


def _groups(*places):
    return grouped(read_runs([str(place) for place in places]))


# Numbers


def test_runs_that_differ_in_their_seed_alone_are_one_group(runs):
    base, dyck = _groups(runs / "base", runs / "dyck")
    assert (base.name, len(base.runs), dyck.name, len(dyck.runs)) == ("base", 2, "dyck", 2)
    assert [(each.flag, each.aspect) for each in differences(base, dyck)] == [("corpora", "the data")]


def test_seeds_that_each_begin_with_a_run_of_their_own_seed_are_one_group(runs):
    for seed in (0, 1):
        _run(runs / f"then/seed-{seed}", (4.0, 2.0, 1.5), seed=seed, init_from=f"runs/dyck/seed-{seed}")
    _run(runs / "other", (4.0, 2.0, 1.5), seed=2, init_from="runs/shuffled/seed-2")
    base, then, other = _groups(runs / "base", runs / "then", runs / "other")
    assert [(group.name, len(group.runs)) for group in (then, other)] == [("then", 2), ("other", 1)]
    assert [(each.flag, each.baseline, each.other) for each in differences(base, then)] == [
        ("init_from", None, "runs/dyck")
    ]


def test_tokens_are_counted_until_the_baselines_final_loss_with_and_without_artificial_ones(runs):
    """The baseline ends at 2.1 behind 200 tokens; the other is there behind 100, of which 50 are artificial."""
    base, dyck = _groups(runs / "base", runs / "dyck")
    found = saved(base, dyck, "eval_wiki_loss", 0)
    assert found.level == pytest.approx(2.1)
    assert (found.baseline_tokens, found.tokens, found.synthetic) == pytest.approx((200, 100, 50))
    assert found.efficiency == pytest.approx(1 - 50 / 200)
    assert found.efficiency_of_all == pytest.approx(1 - 100 / 200)
    assert found.substitution == pytest.approx((200 - 50) / 50)


def test_tokens_of_an_earlier_run_that_gave_the_weights_count(runs):
    """Behind 60 artificial tokens of another run it reads 95 natural ones to the baseline's 2.1, and saves 105."""
    first = {"tokens_seen": 60, "tokens_seen_meta": 60}
    _run(runs / "then", (4.0, 2.0, 1.5), before=first, init_from="elsewhere")
    base, then = _groups(runs / "base", runs / "then")
    found = saved(base, then, "eval_wiki_loss", 0)
    assert (found.tokens, found.synthetic) == pytest.approx((155, 60))
    assert (found.efficiency, found.efficiency_of_all) == pytest.approx((0.525, 0.225))
    assert found.substitution == pytest.approx(105 / 60)


def test_tokens_before_the_baseline_count_as_those_before_the_others(runs):
    """A baseline that began behind 60 artificial tokens needs 260 for its 2.1, of which 200 are natural."""
    first = {"tokens_seen": 60, "tokens_seen_meta": 60}
    for name, losses in (("shuffled", (4.0, 3.1, 2.1)), ("ordered", (4.0, 2.0, 1.5))):
        _run(runs / name, losses, before=first, init_from=name)
    found = saved(*_groups(runs / "shuffled", runs / "ordered"), "eval_wiki_loss", 0)
    assert (found.baseline_tokens, found.tokens) == pytest.approx((260, 155))
    assert (found.efficiency, found.efficiency_of_all) == pytest.approx((1 - 95 / 200, 1 - 155 / 260))
    assert found.substitution is None  # neither has more artificial ones than the other


def test_runs_on_artificial_languages_alone_are_compared_by_all_their_tokens(runs, tmp_path):
    _run(runs / "slow", (4.0, 3.0, 2.0), metas=(0, 100, 200))
    _run(runs / "fast", (4.0, 2.0, 1.0), metas=(0, 100, 200), learning_rate=2e-3)
    found = saved(*_groups(runs / "slow", runs / "fast"), "eval_wiki_loss", 0)
    assert (found.efficiency, found.efficiency_of_all, found.substitution) == (None, 0.5, None)
    compare([str(runs / "fast")], baseline=str(runs / "slow"), output_dir=str(tmp_path / "page"), half_life=0)
    assert "needs 50.0% fewer tokens for the baseline" in (tmp_path / "page/index.html").read_text()


def test_a_run_that_never_gets_there_says_so(runs):
    base, dyck = _groups(runs / "base", runs / "dyck")
    found = saved(dyck, base, "eval_wiki_loss", 0)
    assert (found.tokens, found.efficiency, found.substitution) == (None, None, None)


def test_the_sign_test_pairs_seeds(runs):
    base, dyck = _groups(runs / "base", runs / "dyck")
    assert sign_test(base, dyck, "eval_wiki_loss") == (2, 2, 0.5)
    assert sign_test(dyck, base, "eval_wiki_loss") == (0, 2, 0.5)
    assert sign_test(base, base, "eval_wiki_loss") == (0, 0, 1.0)


def test_smoothing_weighs_by_tokens_not_by_points():
    steady = Curve(np.arange(0.0, 50.0), np.full(50, 3.0)).smoothed(7)
    assert steady.values == pytest.approx(np.full(50, 3.0))
    sparse, dense = (
        Curve(np.array([0.0, 8.0]), np.array([4.0, 0.0])),
        Curve(np.arange(9.0), np.array([4.0] + [0.0] * 8)),
    )
    assert sparse.smoothed(4).final == pytest.approx(4 * 0.25 / 1.25)
    assert dense.smoothed(4).final == pytest.approx(4 * 0.25 / sum(0.5 ** (k / 4) for k in range(9)))


def test_the_mean_of_curves_goes_as_far_as_all_of_them():
    long, short = (
        Curve(np.array([0.0, 10.0, 20.0]), np.array([4.0, 2.0, 0.0])),
        Curve(np.array([0.0, 10.0]), np.ones(2)),
    )
    found = mean_curve([long, short])
    assert (found.tokens.tolist(), found.values.tolist()) == ([0.0, 10.0], [2.5, 1.5])


# Files


def _table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_tables_hold_every_number_and_are_the_same_bytes_each_time(runs, tmp_path):
    for name in ("one", "two"):
        compare([f"{runs}/base", f"{runs}/dyck"], baseline="base", output_dir=str(tmp_path / name))
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["comparison.csv", "curves.csv", "eval_wiki_loss.png", "index.html"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    numbers = {(row["group"], row["quantity"]): row["value"] for row in _table(tmp_path / "one/comparison.csv")}
    assert float(numbers["base", "final"]) == pytest.approx(2.1)
    assert float(numbers["base", "spread"]) == pytest.approx(math.sqrt(0.02))
    assert float(numbers["dyck", "token_efficiency"]) == pytest.approx(0.75)
    assert numbers["dyck", "sign_test_p"] == "0.5"
    assert len(_table(tmp_path / "one/curves.csv")) == 12


def test_the_page_stands_alone_and_says_what_differs_and_nothing_else(runs, tmp_path):
    _run(runs / "two_things", (4.0, 3.0, 2.5), corpora={"english": "ab", "dyck": "cd"}, learning_rate=5e-4)
    places = [f"{runs}/{name}" for name in ("base", "dyck", "two_things")]
    text = compare(places, baseline=f"{runs}/base", output_dir=str(tmp_path / "out")).read_text()
    assert "https://" not in text and "<script" not in text and "<link" not in text
    assert "<b>dyck</b> ends 0.5000 nats below the baseline; lower in 2 of 2 pairs of seeds, p = 0.5" in text
    assert "needs 75.0% fewer natural tokens for the baseline&#39;s final loss, and 50.0% fewer tokens in all" in text
    assert "<b>two_things</b> differs from the baseline in 2 things: the data, learning_rate" in " ".join(text.split())
    differing = text[text.index("What differs") :]
    assert "learning_rate" in differing
    assert not any(flag in differing for flag in ("model_name_or_path", "output_dir", "seed", "data_paths", "torch"))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: apt-get install chromium)")
@pytest.mark.parametrize(("scheme", "width"), [(1, 1200), (0, 400)], ids=["light", "dark_on_a_phone"])
def test_the_page_is_seen_in_a_browser(runs, tmp_path, scheme, width):
    page = compare([f"{runs}/base", f"{runs}/dyck"], baseline="base", output_dir=str(tmp_path / "out"))
    shot = tmp_path / "shot.png"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},1600",
        f"--user-data-dir={tmp_path}/profile", f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={shot}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    seen = imread(shot)[..., :3]
    assert seen.shape == (1600, width, 3)
    ground = (255, 255, 255) if scheme else (0x15, 0x18, 0x1C)
    ink = (0x24, 0x29, 0x2F) if scheme else (0xE4, 0xE7, 0xEB)
    assert (np.rint(255 * seen[-1, -1]) == ground).all()
    blue = (0x00, 0x72, 0xB2) if scheme else (76, 156, 201)  # on a dark ground 7 parts of 10, and 3 of white
    for color in (ink, blue):  # the baseline's line, and the other's
        assert (np.abs(255 * seen - color).max(axis=2) < 3).sum() > 200


def test_runs_of_one_name_are_called_by_their_places_and_a_run_given_twice_comes_once(runs):
    _run(runs / "later/base", (4.0, 3.0, 2.0), learning_rate=2e-3)
    _run(runs / "base/base", (4.0, 3.0, 2.0), learning_rate=3e-3)
    places = [f"{runs}/later/base", f"{runs}/base/base", f"{runs}/later", f"{runs}/dyck/../dyck/seed-0"]
    assert [run.name for run in read_runs(places)] == [f"{runs}/later/base", f"{runs}/base/base", "seed-0"]


def test_a_baseline_is_named_by_its_place_or_a_place_inside(runs, tmp_path):
    for baseline in (f"{runs}/dyck/seed-1", "dyck"):
        page = compare([f"{runs}/base", f"{runs}/dyck"], baseline=baseline, output_dir=str(tmp_path / "out"))
        assert "Baseline: dyck." in page.read_text()
    for rate in (1e-3, 2e-3):
        _run(runs / f"rates/{rate}", (4.0, 3.0, 2.0), learning_rate=rate)
    with pytest.raises(
        ConfigError, match=r"rates is more than one of the runs; give one of rates/0\.001, rates/0\.002$"
    ):
        compare([f"{runs}/rates"], baseline=f"{runs}/rates", output_dir=str(tmp_path / "out"))


# What cannot be compared


@pytest.mark.parametrize(
    ("places", "more", "message"),
    [
        (["nowhere"], {}, "nowhere is no run; give the --output_dir of a run"),
        (["base"], {"baseline": "other"}, "--baseline other is none of the runs; give one of base"),
        (["base", "code"], {}, "no loss is logged by all of the 3 runs; all of them have: none"),
        (["base"], {"metric": "eval_x_loss"}, "--metric eval_x_loss is not logged by all of the 2 runs"),
        (["base", "copy"], {}, "and another run have the same flags and the seed 0"),
        (["begun"], {}, "has neither ended nor saved a checkpoint yet"),
        (["base"], {"output_dir": "base/seed-0/run.json"}, "is a file; give a folder"),
        (["base"], {"output_dir": "base/seed-0"}, "holds something else (run.json); give another folder"),
    ],
    ids=["nowhere", "baseline", "evaluations", "metric", "twice", "begun", "file", "run"],
)
def test_what_cannot_be_compared_is_one_line(runs, monkeypatch, places, more, message):
    monkeypatch.chdir(runs)
    _run(runs / "code", (4.0, 3.0, 2.5), evaluated="eval_code_loss", learning_rate=1.0)
    shutil.copytree(runs / "base/seed-0", runs / "copy")
    (runs / "begun").mkdir()
    (runs / "begun/run.json").write_text('{"run": {}}')
    with pytest.raises(ConfigError) as caught:
        compare(places, **{"baseline": "base", "output_dir": "out", **more})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[1]", "it is no object"),
        ('"a"', "it is no object"),
        ("{}", "it has no run"),
        ('{"run": [1]}', "its run is no object"),
        ('{"run": {}, "corpora": 3}', "its corpora is no object"),
        ('{"run": {"seed": 1', "it is no JSON"),
        ("", "it is no JSON"),
    ],
)
def test_a_damaged_run_json_is_named_with_what_to_do(runs, content, fault):
    path = runs / "base/seed-0/run.json"
    path.write_text(content)
    with pytest.raises(CorpusError) as caught:
        compare([str(runs / "base")], baseline=str(runs / "base"), output_dir=str(runs / "out"))
    advice = "put back the file that the run wrote, train the run again, or give another folder"
    assert str(caught.value) == f"{path} is damaged: {fault}; {advice}"
    assert not (runs / "out").exists()


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"global_step": 2, "log_history": {}}', '{"global_step": 2, "log_history": [{"loss": 1}]}']
)
def test_a_damaged_trainer_state_is_named_with_what_to_do(runs, content):
    path = runs / "base/seed-0/trainer_state.json"
    path.write_text(content)
    with pytest.raises(CorpusError) as caught:
        read_runs([str(runs / "base")])
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith("); train the run again, or give another folder")


def test_the_command_writes_the_page_and_says_where(runs, tmp_path):
    command = [sys.executable, "train/compare.py", f"{runs}/base", f"{runs}/dyck", "--baseline", f"{runs}/base"]
    done = subprocess.run(
        [*command, "--output_dir", f"{tmp_path}/out"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"{tmp_path}/out/index.html")
