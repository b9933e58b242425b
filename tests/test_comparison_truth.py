"""A comparison of runs that do not fit each other: killed, diverged, of other tokenizers, of a single seed."""

import csv
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from metalang.comparison import compare
from metalang.comparison.drawing import draw, group_lines, inline_svg
from metalang.comparison.groups import differences, grouped
from metalang.comparison.measures import final, saved, sign_test
from metalang.comparison.runs import read_runs
from metalang.errors import ConfigError

NAN = float("nan")


def _run(folder, losses, *, seed=0, train=None, tokens=None, bits=None, record=None, every=100, **flags):
    """The folder of a run that evaluated `losses` at 0, `every`, 2 x `every`, ... tokens; `train`: training losses."""
    folder.mkdir(parents=True)
    evaluated = {"eval_wiki_tokens": tokens} if tokens else {}
    logs = [
        {"step": place, "tokens_seen": every * place, "eval_wiki_loss": loss, **evaluated}
        | ({"eval_wiki_bits_per_byte": loss * bits} if bits else {})
        | ({"loss": train[place], "loss_wiki": train[place]} if train else {})
        for place, loss in enumerate(losses)
    ]
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": len(logs) - 1, "log_history": logs}))
    asked = {"run": {"seed": seed, "data_seed": "None", "output_dir": str(folder), "learning_rate": 1e-3, **flags}}
    (folder / "run.json").write_text(json.dumps(asked | {"corpora": {"wiki": "ab"}} | (record or {})))


def _groups(*places):
    return grouped(read_runs([str(place) for place in places]))


def _page(folder, *names, **more):
    places = [str(folder / name) for name in names]
    page = compare(places, baseline=places[0], output_dir=str(folder / "page"), **more)
    return " ".join(page.read_text().split())


def _numbers(folder):
    with (folder / "page/comparison.csv").open() as file:
        return {(row["group"], row["metric"], row["quantity"]): row["value"] for row in csv.DictReader(file)}


# What is missing


def test_a_run_that_was_killed_half_way_is_left_out_of_its_group_and_named(tmp_path):
    for seed, losses in enumerate(((4.0, 3.0, 2.0), (4.0, 3.2, 2.2), (4.0, 3.1))):
        _run(tmp_path / f"base/seed-{seed}", losses, seed=seed)
    (base,) = _groups(tmp_path / "base")
    assert ([run.seed for run in base.runs], [run.seed for run in base.behind]) == ([0, 1], [2])
    assert final(base, "eval_wiki_loss").mean == pytest.approx(2.1)
    assert "base/seed-2 has come to 100 of 200 tokens: it is left out." in _page(tmp_path, "base")


def test_runs_that_may_stop_early_are_at_their_end_wherever_it_is(tmp_path):
    for seed, losses in enumerate(((4.0, 3.0, 2.0), (4.0, 3.1))):
        _run(tmp_path / f"base/seed-{seed}", losses, seed=seed, early_stopping_patience=1)
    (base,) = _groups(tmp_path / "base")
    assert (len(base.runs), base.behind, final(base, "eval_wiki_loss").mean) == (2, (), pytest.approx(2.55))


def test_groups_of_other_lengths_are_compared_with_a_word_of_warning(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0, 2.0))
    _run(tmp_path / "half", (4.0, 2.5), learning_rate=2e-3)
    assert "half ends at 100 tokens, the baseline at 200: their final losses are not those of equal tokens." in _page(
        tmp_path, "base", "half"
    )


def test_runs_that_were_evaluated_at_other_tokens_are_compared_between_them(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0, 2.0, 1.0, 0.5), every=50)
    _run(tmp_path / "rare", (3.0, 1.0, 0.0), every=100, learning_rate=2e-3)
    found = saved(*_groups(tmp_path / "base", tmp_path / "rare"), "eval_wiki_loss", 0)
    assert (found.level, found.baseline_tokens, found.tokens) == (0.5, 200, 150)


def test_a_run_without_evaluations_is_named_and_the_training_loss_counts(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0, 2.0), train=(4.0, 3.0, 2.0))
    _run(tmp_path / "blind", (4.0, 3.0, 2.0), train=(4.0, 2.0, 1.0), learning_rate=2e-3)
    state = json.loads((tmp_path / "blind/trainer_state.json").read_text())
    state["log_history"] = [{k: v for k, v in log.items() if "eval" not in k} for log in state["log_history"]]
    (tmp_path / "blind/trainer_state.json").write_text(json.dumps(state))
    assert "Not evaluated: blind. So tokens are counted by a training loss." in _page(tmp_path, "base", "blind")


def test_one_seed_has_no_spread_and_its_sign_test_says_nothing(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0, 2.0))
    _run(tmp_path / "fast", (4.0, 2.0, 1.0), learning_rate=2e-3)
    page = _page(tmp_path, "base", "fast")
    assert "ends 1.0000 nats below the baseline; needs 50.0% fewer" in page
    assert "sign test, which cannot be below 1 with 1 pair (six that agree give 0.031)." in page
    assert _numbers(tmp_path)["fast", "eval_wiki_loss", "spread"] == ""


# What is no number


def test_values_that_are_no_numbers_are_counted_and_leave_the_curve(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0, 2.0))
    _run(tmp_path / "shaken", (4.0, NAN, 1.0), learning_rate=2e-3)
    page = _page(tmp_path, "base", "shaken")
    assert (
        "shaken logged 1 value of eval_wiki_loss that is no number, the first at step 1: curves leave such out." in page
    )
    assert float(_numbers(tmp_path)["shaken", "", "tokens_to_baseline"]) == pytest.approx(400 / 3)


def test_a_run_that_ends_in_no_number_has_the_higher_loss_and_its_group_no_mean(tmp_path):
    for seed, (theirs, ours) in enumerate(((2.0, 1.0), (2.2, NAN))):
        _run(tmp_path / f"base/seed-{seed}", (4.0, 3.0, theirs), seed=seed)
        _run(tmp_path / f"wild/seed-{seed}", (4.0, 3.0, ours), seed=seed, learning_rate=1.0)
    base, wild = _groups(tmp_path / "base", tmp_path / "wild")
    assert sign_test(base, wild, "eval_wiki_loss") == (1, 2, 1.0)
    assert sign_test(wild, base, "eval_wiki_loss") == (1, 2, 1.0)
    assert saved(wild, base, "eval_wiki_loss", 0) is None
    page = _page(tmp_path, "base", "wild")
    assert "<b>wild</b> ends in no number; lower in 1 of 2 pairs of seeds, p = 1; never reaches" in page


# What was not measured on the same


def test_evaluations_on_other_tokens_are_not_compared_but_bits_a_byte_are(tmp_path):
    """A million bytes of text: 4 nats of 180,337 tokens are a bit a byte, and so are 2 nats of 360,674."""
    _run(tmp_path / "base", (8.0, 6.0, 4.0), tokens=180_337, bits=0.26017)
    _run(tmp_path / "small", (6.0, 3.0, 1.0), tokens=360_674, bits=0.52034, learning_rate=2e-3)
    message = (
        "eval_wiki_loss cannot be compared: base and small differ in the evaluated tokens (180,337 and 360,674). "
        "Give --metric eval_wiki_bits_per_byte"
    )
    for metric, begin in ((None, ""), ("eval_wiki_loss", "--metric ")):
        with pytest.raises(ConfigError) as caught:
            _page(tmp_path, "base", "small", metric=metric)
        assert str(caught.value) == begin + message
    page = _page(tmp_path, "base", "small", metric="eval_wiki_bits_per_byte")
    assert "ends 0.5203 bits a byte below the baseline" in page
    assert "eval_wiki_loss is left out: base and small differ in the evaluated tokens" in page
    assert ("base", "eval_wiki_loss", "final") not in _numbers(tmp_path)


@pytest.mark.parametrize(
    ("record", "aspect"),
    [
        ({"evaluated": {"wiki": "two"}}, "the evaluated content (one and two)"),
        ({"tokenizer": "two"}, "the tokenizer (one and two)"),
        ({"plan": {"ids": {"tokenizer": "two"}}}, "the tokenizer (one and two)"),
    ],
)
def test_losses_of_other_texts_and_tokenizers_are_not_compared(tmp_path, record, aspect):
    _run(tmp_path / "base", (4.0, 3.0, 2.0), record={"evaluated": {"wiki": "one"}, "tokenizer": "one"})
    _run(tmp_path / "other", (4.0, 3.0, 1.0), record=record, learning_rate=2e-3)
    with pytest.raises(ConfigError) as caught:
        _page(tmp_path, "base", "other")
    assert aspect in str(caught.value)
    assert str(caught.value).endswith(". Compare runs of one tokenizer that were evaluated on the same")


def test_training_losses_of_other_data_are_left_out(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0, 2.0), train=(4.0, 3.0, 2.0))
    _run(tmp_path / "mixed", (4.0, 3.0, 1.0), train=(4.0, 3.0, 1.0), record={"corpora": {"wiki": "xy"}})
    page = _page(tmp_path, "base", "mixed")
    assert "loss_wiki is left out: base and mixed differ in the content of the data (ab and xy)." in page
    assert sorted(path.name for path in (tmp_path / "page").glob("*.png")) == ["eval_wiki_loss.png"]


def test_a_copy_of_the_same_data_elsewhere_is_no_difference(tmp_path):
    record = {"evaluated": {"wiki": "one"}, "tokenizer": "one"}
    here = {"data_paths": ["wiki=a"], "nl_eval_data_path": ["wiki=b"], "tokenizer_name": "c"}
    there = {"data_paths": ["wiki=/x/a"], "nl_eval_data_path": ["wiki=/x/b"], "tokenizer_name": "/x/c"}
    _run(tmp_path / "here", (4.0, 3.0, 2.0), record=record, **here)
    _run(tmp_path / "there", (4.0, 3.0, 2.0), record=record, seed=1, **there)
    (group,) = _groups(tmp_path / "here", tmp_path / "there")
    assert len(group.runs) == 2


# Numbers


def test_the_final_training_loss_is_the_smoothed_one(tmp_path):
    """Half of the weight every 100 tokens: (1 + 3 / 2 + 4 / 4) / (1 + 1 / 2 + 1 / 4) = 2."""
    _run(tmp_path / "base", (4.0, 3.0, 2.0), train=(4.0, 3.0, 1.0))
    (base,) = _groups(tmp_path / "base")
    assert final(base, "loss_wiki", 100).mean == pytest.approx(2.0)
    _page(tmp_path, "base", half_life=100, metric="loss_wiki")
    assert float(_numbers(tmp_path)["base", "loss_wiki", "final"]) == pytest.approx(2.0)


def test_the_sign_test_is_one_of_seeds_of_weights_and_order_and_drops_ties(tmp_path):
    for name, losses, rate in (("base", (2.0, 2.0, 2.0), 1e-3), ("fast", (1.0, 2.0, 3.0), 2e-3)):
        for order, loss in enumerate(losses):
            _run(tmp_path / name / str(order), (4.0, 3.0, loss), data_seed=order, learning_rate=rate)
    assert sign_test(*_groups(tmp_path / "base", tmp_path / "fast"), "eval_wiki_loss") == (1, 2, 1.0)


def test_a_baseline_that_ends_as_high_as_it_began_saves_nobody_a_token(tmp_path):
    _run(tmp_path / "base", (4.0, 5.0, 4.5))
    _run(tmp_path / "fast", (4.4, 2.0, 1.0), learning_rate=2e-3)
    assert "3.5000 nats below the baseline; the baseline ends no lower" in _page(tmp_path, "base", "fast")


def test_how_a_run_begins_is_one_difference(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0, 2.0), init_from=None, transfer="all", embeddings="keep")
    _run(tmp_path / "then", (4.0, 3.0, 2.0), init_from="first", transfer="attention", embeddings="mean")
    base, then = _groups(tmp_path / "base", tmp_path / "then")
    assert {each.aspect for each in differences(base, then)} == {"init_from"}


# The page


class _Links(HTMLParser):
    """Collects whatever a page would load or run."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [tag] if tag in ("script", "link", "iframe", "object", "embed", "img", "base") else []
        self.found += [
            f"{name}={value}"
            for name, value in attrs
            if name.startswith("on")
            or (name in ("src", "href", "xlink:href", "srcset", "data", "action") and not value.startswith("#"))
            or ("url(" in (value or "") and "url(#" not in value)
        ]

    def handle_data(self, data):
        self.found += ["@import"] if "@import" in data or "url(" in data else []


def test_the_page_loads_nothing_whatever_its_runs_are_called(tmp_path):
    name = 'Дик <img src="x"> & "$\\oops_$" _'
    _run(tmp_path / "base", (4.0, 3.0, 2.0))
    _run(tmp_path / name, (4.0, 2.0, 1.0), learning_rate=2e-3)
    page = compare([str(tmp_path / "base"), str(tmp_path / name)], baseline="base", output_dir=str(tmp_path / "page"))
    assert _Links(page.read_text()).found == []
    assert "$\\oops_$" in page.read_text()
    assert _Links('<p onclick="x"><svg><image xlink:href="http://a"/></svg><style>@import "b"</style>').found == [
        "onclick=x", "xlink:href=http://a", "@import"
    ]  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_the_names_of_forty_groups_fit_beside_their_curves(tmp_path):
    for number in range(40):
        _run(tmp_path / f"ablation-{number:02d}", (4.0, 3.0, 2.0), learning_rate=1e-3 * (1 + number))
    groups = _groups(tmp_path)
    figure = draw(groups, "eval_wiki_loss", 0, group_lines(groups, groups[0]))
    assert 'aria-label="a &quot;b&quot;"' in inline_svg(figure, 'a "b"') and "ablation-39" in inline_svg(figure, "a")
    (axes,) = figure.axes
    heights = np.array(sorted(text.xyann[1] for text in axes.texts))
    assert len(heights) == 40 and heights[0] >= 0 and heights[-1] <= 1
    inches = axes.get_window_extent().height / figure.dpi
    assert np.diff(heights).min() * inches > 10 / 72  # letters of 10 points


def test_bits_of_a_byte_that_are_never_a_number_do_not_keep_others_from_being_compared(tmp_path):
    _run(tmp_path / "base", (4.0, 3.0), tokens=100, bits=0.5)
    _run(tmp_path / "wild", (NAN, NAN), tokens=90, bits=0.5, learning_rate=2e-3)
    with pytest.raises(ConfigError, match="eval_wiki_loss cannot be compared: base and wild differ in the evaluated"):
        _page(tmp_path, "base", "wild")


def test_seeds_of_an_earlier_version_are_of_the_group_of_those_of_this_one(tmp_path):
    _run(tmp_path / "base/seed-0", (4.0, 3.0), max_steps=10, num_train_epochs=3.0, curriculum="none")
    now = {"num_train_epochs": 0.0, "curriculum": "none", "importance": "surprisal"}
    _run(tmp_path / "base/seed-1", (4.0, 3.0), seed=1, max_steps=10, **now)
    _run(tmp_path / "learned", (4.0, 3.0), max_steps=10, **now | {"curriculum": "importance", "importance": "learned"})
    base, learned = _groups(tmp_path / "base", tmp_path / "learned")
    assert [run.seed for run in base.runs] == [0, 1]
    assert [(each.flag, each.aspect) for each in differences(base, learned)] == [
        ("curriculum", "curriculum"), ("importance", "curriculum"),
    ]  # fmt: skip


def test_training_losses_of_other_curricula_are_not_compared(tmp_path):
    flags = {"curriculum": "importance", "importance": "surprisal"}
    _run(tmp_path / "base", (4.0, 3.0), train=(4.0, 3.0), curriculum="none")
    _run(tmp_path / "staged", (4.0, 3.0), train=(9.0, 8.0), **flags)
    _run(tmp_path / "learned", (4.0, 3.0), train=(9.0, 8.0), **flags | {"importance": "learned"})
    for one, other, message in (
        ("base", "staged", "base and staged differ in the curriculum .none and importance"),
        ("staged", "learned", "staged and learned differ in the importance .surprisal and learned"),
    ):
        with pytest.raises(ConfigError, match=message):
            _page(tmp_path, one, other, metric="loss_wiki")
        assert f"loss_wiki is left out: {one} and {other} differ in the" in _page(tmp_path, one, other)
