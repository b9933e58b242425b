"""UnifiedDataset and TextDataset: rows of files as people write them, and what is predicted of each, id by id."""

import json
import multiprocessing
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from chat_tokenizers import CHATML, LLAMA_2, MARKED, THINKING, byte_tokenizer, shown
from torch.utils.data import DataLoader

from metalang.errors import ConfigError, CorpusError
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.phases import TextDataset, UnifiedDataset, jsonl
from metalang.training.phases.jsonl import JsonRows
from metalang.training.phases.order import POOL_BATCHES, RowOrder

SHARED = Path(__file__).parents[2] / "shared/data"
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2"},
]


def _lines(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    )
    return path


def _dataset(tmp_path, *rows, tokenizer=None, max_length=512, phase="sft", **more):
    path = _lines(tmp_path / "rows.jsonl", *rows)
    return UnifiedDataset(path, byte_tokenizer() if tokenizer is None else tokenizer, max_length, phase, **more)


def _shown(dataset, index=0):
    x, y, mask = dataset[index]
    ids = torch.cat([x[:1], y])
    return shown(dataset.tokenizer, ids, torch.cat([torch.tensor([False]), mask]))


# Rows of a file


def test_rows_are_found_whatever_the_line_ends_and_blank_lines(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n\n  \t\n {"n": 2}\n\n{"n": 3}')
    rows = JsonRows(tmp_path / "a.jsonl")
    assert [rows.read(row)["n"] for row in range(len(rows))] == [1, 2, 3]
    assert [rows.place(row).removeprefix(str(tmp_path)) for row in range(3)] == [
        "/a.jsonl line 1",
        "/a.jsonl line 4",
        "/a.jsonl line 6",
    ]


def test_a_json_list_is_read_element_by_element(tmp_path):
    values = [{"n": 1, "s": 'a "quoted", ] } \\'}, {"n": [1, {"m": 2}]}, {}, {"n": "\\\\"}]
    (tmp_path / "a.json").write_text(json.dumps(values, indent=2) + "\n")
    rows = JsonRows(tmp_path / "a.json")
    assert [rows.read(row) for row in range(len(rows))] == values
    assert rows.place(2) == f"{tmp_path}/a.json element 3"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_rows_do_not_depend_on_how_the_file_is_cut_into_blocks(tmp_path, monkeypatch, block):
    values = [{"n": number, "s": 'x\\"],{é' * number} for number in range(9)]
    _lines(tmp_path / "a.jsonl", *values)
    (tmp_path / "a.json").write_text(json.dumps(values))
    monkeypatch.setattr("metalang.training.phases.spans._BLOCK_BYTES", block)
    for name in ("a.jsonl", "a.json"):
        rows = JsonRows(tmp_path / name)
        assert [rows.read(row) for row in range(len(rows))] == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no rows; write one JSON object a line"),
        (b"\n \n", "holds no rows"),
        (b"[]", "holds no rows"),
        (b'[{"a": 1}, {"a"', "ends inside its list: it was cut; write it again"),
        (b'[{"a": 1}] {"a": 2}', "goes on behind its list"),
        (b"\x1f\x8b\x08\x00", r"is packed, and rows are read in place; unpack it: gunzip .*a\.jsonl"),
    ],
)
def test_a_file_without_rows_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        JsonRows(tmp_path / "a.jsonl")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.jsonl does not exist; give one file of JSON lines"):
        JsonRows(tmp_path / "no.jsonl")
    with pytest.raises(ConfigError, match="is a folder; give one file of JSON lines"):
        JsonRows(tmp_path)


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path):
    rows = JsonRows(_lines(tmp_path / "a.jsonl", {"n": 1}))
    _lines(tmp_path / "a.jsonl", {"n": 1}, {"n": 2})
    with pytest.raises(CorpusError, match=r"has 18 bytes and had 9 when it was opened"):
        rows.read(0)


def _mapped_bytes(path):
    """What of a file counts as this process's memory."""
    maps = Path("/proc/self/smaps").read_text().split(str(path))
    return sum(int(re.search(r"Rss:\s+(\d+) kB", part)[1]) * 1024 for part in maps[1:])


def test_reading_all_rows_keeps_little_of_the_file_in_memory(tmp_path):
    path = _lines(tmp_path / "a.jsonl", *(json.dumps({"text": "x" * 1000}) for _ in range(64_000)))
    rows = JsonRows(path)
    most = 0
    for row in range(len(rows)):
        assert len(rows.read(row)["text"]) == 1000
        most = max(most, _mapped_bytes(path)) if row % 4000 == 0 else most
    assert path.stat().st_size > 60e6
    assert 0 < most <= 2 * jsonl._RELEASE_BYTES


# Pretraining


def test_y_is_x_one_id_ahead_and_ends_with_eos(tmp_path):
    x, y, mask = _dataset(tmp_path, {"text": "abc"}, phase="pretrain")[0]
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(x) == "abc"
    assert tokenizer.decode(y) == "bc</s>"
    assert mask.tolist() == [True, True, True]
    assert (x.dtype, y.dtype, mask.dtype) == (torch.int64, torch.int64, torch.bool)


def test_a_text_that_is_cut_has_no_eos(tmp_path):
    x, y, _ = _dataset(tmp_path, {"text": "abcdef"}, phase="pretrain", max_length=4)[0]
    assert (byte_tokenizer().decode(x), byte_tokenizer().decode(y)) == ("abc", "bcd")


def test_a_text_that_spells_eos_does_not_end_itself(tmp_path):
    x, y, _ = _dataset(tmp_path, {"text": "a</s>b"}, phase="pretrain")[0]
    assert len(x) == 6
    assert (y == byte_tokenizer().eos_token_id).tolist() == [False] * 5 + [True]


def test_a_plain_loader_pads_each_batch_to_its_longest_row(tmp_path):
    dataset = _dataset(tmp_path, {"text": "a"}, {"text": "abcd"}, {"text": "ab"}, phase="pretrain")
    batches = [[part.shape for part in batch] for batch in DataLoader(dataset, batch_size=2)]
    assert batches == [[(2, 4)] * 3, [(1, 2)] * 3]
    x, _, mask = next(iter(DataLoader(dataset, batch_size=2)))
    assert mask.tolist() == [[True, False, False, False], [True] * 4]
    assert byte_tokenizer().decode(x[0]) == "a</s></s></s>"


def test_a_loaders_workers_give_the_rows_of_one_process(tmp_path):
    dataset = _dataset(tmp_path, *({"text": "x" * number} for number in range(1, 20)), phase="pretrain")
    alone = [batch[1].tolist() for batch in DataLoader(dataset, batch_size=4)]
    context = multiprocessing.get_context("spawn")
    loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context=context)
    assert [batch[1].tolist() for batch in loader] == alone


def test_a_pickled_dataset_holds_no_file(tmp_path):
    dataset = _dataset(tmp_path, {"text": "x" * 1_000_000}, phase="pretrain")
    assert len(dataset[0][0]) == 511
    packed = pickle.dumps(dataset._rows)
    assert len(packed) < 2000
    assert len(pickle.loads(packed).read(0)["text"]) == 1_000_000


# Conversations: what is predicted, id by id


def test_our_template_predicts_the_assistants_words_and_eos(tmp_path):
    assert _shown(_dataset(tmp_path, {"conversations": TALK})) == (
        "System: Be brief.\nUser: Hi\nAssistant:« Hello!</s>»\nUser: 1+1?\nAssistant:« 2</s>»\n"
    )


def test_a_template_without_marks_predicts_up_to_the_end_of_turn_token(tmp_path):
    assert _shown(_dataset(tmp_path, {"messages": TALK}, tokenizer=byte_tokenizer(CHATML))) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        "«Hello!<|im_end|>»\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n«2<|im_end|>»\n"
    )


def test_marks_and_search_agree(tmp_path):
    marked, searched = (
        _dataset(tmp_path, {"messages": TALK}, tokenizer=byte_tokenizer(template))[0] for template in (MARKED, CHATML)
    )
    assert [part.tolist() for part in marked] == [part.tolist() for part in searched]


def test_a_template_that_ends_turns_with_a_space_and_eos(tmp_path):
    assert _shown(_dataset(tmp_path, {"messages": TALK[1:]}, tokenizer=byte_tokenizer(LLAMA_2))) == (
        "[INST] Hi [/INST]« Hello! </s>»[INST] 1+1? [/INST]« 2 </s>»"
    )


def test_a_template_that_shows_the_last_turn_otherwise_than_earlier_ones(tmp_path):
    assert _shown(_dataset(tmp_path, {"messages": TALK[1:]}, tokenizer=byte_tokenizer(THINKING))) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Hello!<|im_end|>»\n<|im_start|>user\n1+1?<|im_end|>\n"
        "<|im_start|>assistant\n«<think>\n\n</think>\n\n2<|im_end|>»\n"
    )


def test_a_template_in_which_a_turn_cannot_be_found_is_refused(tmp_path):
    shouting = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] | upper }}\n{% endfor %}"
    dataset = _dataset(tmp_path, {"messages": TALK}, tokenizer=byte_tokenizer(shouting))
    with pytest.raises(ConfigError, match=r"line 1: the chat template does not show a turn .* mark in the template"):
        dataset[0]


def test_what_a_template_refuses_is_one_line_with_its_place(tmp_path):
    strict = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(
        ConfigError, match=r"rows\.jsonl line 1: the chat template refuses it: roles must alternate\. M"
    ):
        _dataset(tmp_path, {"messages": TALK}, tokenizer=byte_tokenizer(strict))[0]


@pytest.mark.parametrize(
    ("max_length", "expected"),
    [
        (29, "System: Be brief.\nUser: Hi\nAs"),
        (37, "System: Be brief.\nUser: Hi\nAssistant:"),
        (41, "System: Be brief.\nUser: Hi\nAssistant:« Hel»"),
        (44, "System: Be brief.\nUser: Hi\nAssistant:« Hello!»"),
        (45, "System: Be brief.\nUser: Hi\nAssistant:« Hello!</s>»"),
        (46, "System: Be brief.\nUser: Hi\nAssistant:« Hello!</s>»\n"),
    ],
)
def test_a_conversation_is_cut_wherever_the_length_falls(tmp_path, max_length, expected):
    dataset = _dataset(tmp_path, {"messages": TALK}, max_length=max_length)
    assert _shown(dataset) == expected
    assert [len(part) for part in dataset[0]] == [max_length - 1] * 3


def test_characters_of_several_ids_are_predicted_whole(tmp_path):
    talk = [{"role": "user", "content": "é"}, {"role": "assistant", "content": "жé🙂"}]
    _, y, mask = _dataset(tmp_path, {"messages": talk})[0]
    assert byte_tokenizer().decode(y[mask]) == " жé🙂</s>"
    assert mask.sum().item() == 1 + 2 + 2 + 4 + 1


def test_an_id_on_the_edge_of_a_turn_is_predicted(tmp_path):
    """The template's colon and the turn's first letter are one id: left out, the first letter would not be learned."""
    edge = "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}\n{% endfor %}"
    edge += "{% if add_generation_prompt %}a:{% endif %}"
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    tokenizer = byte_tokenizer(edge, merges=[(":", "H")])
    assert _shown(_dataset(tmp_path, {"messages": talk}, tokenizer=tokenizer)) == "u:Hi\na«:Ho\n»"


def test_the_ids_are_those_of_the_chat_template(tmp_path):
    for template in (CHATML, MARKED, LLAMA_2, THINKING):
        tokenizer = byte_tokenizer(template)
        x, y, _ = _dataset(tmp_path, {"messages": TALK[1:]}, tokenizer=tokenizer)[0]
        expected = tokenizer.apply_chat_template(TALK[1:], tokenize=True, return_dict=True)["input_ids"]
        assert [*x[:1].tolist(), *y.tolist()] == expected


def test_a_turn_of_no_weight_is_read_and_not_predicted(tmp_path):
    talk = [*TALK[1:2], {**TALK[2], "loss_weight": 0.0}, *TALK[3:]]
    for template in (None, CHATML):
        dataset = _dataset(tmp_path, {"messages": talk}, tokenizer=byte_tokenizer(template))
        assert "Hello!" in _shown(dataset) and "«Hello!" not in _shown(dataset)
        assert _shown(dataset).count("«") == 1


def test_the_tokenizers_of_this_project_get_our_template_and_keep_their_own(tmp_path):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path / "tokenizer")
    tokenizer = load_tokenizer(str(folder)).hf
    dataset = _dataset(tmp_path, {"messages": TALK}, tokenizer=tokenizer)
    _, y, mask = dataset[0]
    assert [tokenizer.decode(y[mask]), (y == tokenizer.eos_token_id).sum().item()] == [" Hello!</s> 2</s>", 2]
    assert tokenizer.chat_template is None
    assert dataset.tokenizer.chat_template is not None


def test_a_tokenizer_that_cannot_locate_its_ids_or_names_no_eos_is_refused(tmp_path):
    nameless = byte_tokenizer()
    nameless.eos_token = None
    with pytest.raises(ConfigError, match="the tokenizer names no EOS"):
        _dataset(tmp_path, {"messages": TALK}, tokenizer=nameless)


# Forms


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"role": "user", "content": "Add\n\n1 2"}, {"role": "assistant", "content": "3"}]},
        {"messages": [{"role": "user", "content": "Add\n\n1 2"}, {"role": "assistant", "content": "3"}]},
        {"conversations": [{"from": "human", "value": "Add\n\n1 2"}, {"from": "gpt", "value": "3"}]},
        {"instruction": "Add", "input": "1 2", "output": "3"},
        {"instruction": "Add\n\n1 2", "input": "", "output": "3"},
        {"instruction": "Add", "instances": [{"input": "1 2", "output": "3"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Add\n\n"}, {"type": "text", "value": "1 2"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "3"}]},
            ]
        },
    ],
    ids=["role", "messages", "sharegpt", "alpaca", "alpaca_without_input", "instances", "parts"],
)
def test_every_form_of_a_conversation_means_the_same(tmp_path, row):
    assert _shown(_dataset(tmp_path, row)) == "User: Add\n\n1 2\nAssistant:« 3</s>»\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "a", "id": 3}, "no 'conversations' or 'messages' or 'instruction'; its fields are 'text', 'id'"),
        ({}, "its fields are none"),
        ({"messages": []}, "'messages' is empty"),
        ({"messages": "Hi"}, "'messages' is no list of turns but str"),
        ({"messages": ["Hi"]}, "turn 1 of 'messages' is no object but str"),
        (
            {"messages": [{"role": "narrator", "content": "a"}]},
            "turn 1 of 'messages' has the role 'narrator'; a role is",
        ),
        ({"messages": [{"content": "a"}]}, "turn 1 of 'messages': no 'role' or 'from'; its fields are 'content'"),
        ({"messages": [{"role": "user", "text": "a"}]}, "no 'content' or 'value'; its fields are 'role', 'text'"),
        (
            {"messages": [{"role": "user", "content": None}]},
            "the content of turn 1 of 'messages' is no string but None",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "has parts that are no text"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no turn of the assistant that could be learned"),
        ({"messages": [{**TALK[2], "loss_weight": 0.5}]}, r"has loss_weight 0\.5; a turn is learned \(1\) or not"),
        ({"messages": [{**TALK[2], "tool_calls": [1]}]}, "has 'tool_calls', which are not read"),
        ({"instruction": "a", "input": "b"}, "no 'output'; its fields are 'instruction', 'input'"),
        ({"instruction": "a", "instances": [1]}, "'instances' is no list of one"),
        ('{"messages": [', "no JSON: Expecting value at column 15"),
        ('"text"', "no object but str"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}]}', "holds half a surrogate pair at character 0"),
    ],
)
def test_a_bad_row_is_one_line_with_file_and_line_or_counted(tmp_path, row, message):
    with pytest.raises(ConfigError, match=message) as caught:
        _dataset(tmp_path, {"messages": TALK}, "", row).check()
    assert str(caught.value).startswith(f"{tmp_path}/rows.jsonl line 3: ")
    assert "\n" not in str(caught.value)
    dataset = _dataset(tmp_path, row, {"messages": TALK}, on_bad_line="skip")
    assert (len(dataset), dataset.num_bad) == (1, 1)
    assert _shown(dataset).startswith("System: Be brief.")


def test_a_line_that_is_no_utf8_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n')
    dataset = UnifiedDataset(tmp_path / "rows.jsonl", byte_tokenizer())
    assert len(dataset[0][0]) == 1
    with pytest.raises(ConfigError, match=r"rows\.jsonl line 2: no UTF-8: invalid start byte"):
        dataset[1]


def test_a_text_field_of_another_name_is_asked_for_by_name(tmp_path):
    with pytest.raises(ConfigError, match="no 'text'; its fields are 'story'"):
        _dataset(tmp_path, {"story": "ab"}, phase="pretrain")[0]
    assert len(_dataset(tmp_path, {"story": "ab"}, phase="pretrain", text_field="story")[0][0]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase": "sftt"}, "phase is 'sftt'; it can be pretrain, sft, dpo, ppo, rlaif"),
        ({"max_length": 1}, "max_length 1 leaves nothing to predict"),
        ({"on_bad_line": "ignore"}, "on_bad_line is 'ignore'; it can be error, skip"),
        ({"on_bad_line": "skip", "phase": "dpo"}, "has no row that the phase dpo can read"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        _dataset(tmp_path, {"messages": TALK}, **changes)


def test_a_row_that_is_not_there_ends_an_iteration(tmp_path):
    dataset = _dataset(tmp_path, {"messages": TALK}, {"messages": TALK[1:]})
    assert len(list(dataset)) == 2
    assert dataset[-1][0].tolist() == dataset[1][0].tolist()
    with pytest.raises(IndexError):
        dataset[2]


# Preferences and prompts


def _parts(dataset, index=0):
    return {name: dataset.tokenizer.decode(ids) for name, ids in dataset[index].items() if name.endswith("_ids")}


def test_a_preference_of_strings_is_text_and_ends_with_eos(tmp_path):
    dataset = _dataset(tmp_path, {"prompt": "1+1=", "chosen": "2", "rejected": "33"}, phase="dpo")
    assert _parts(dataset) == {"prompt_ids": "1+1=", "chosen_ids": "2</s>", "rejected_ids": "33</s>"}
    assert dataset[0]["rejected_mask"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Ho"}},
        {"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "Ho"}]},
        {"prompt": "Hi", "chosen": [{"role": "assistant", "content": "Ho"}]},
    ],
    ids=["sharegpt", "lists", "mixed"],
)
def test_a_preference_of_turns_goes_through_the_chat_template(tmp_path, row):
    dataset = _dataset(tmp_path, {**row, "rejected": {"role": "assistant", "content": "Hm"}}, phase="dpo")
    assert _parts(dataset) == {
        "prompt_ids": "User: Hi\nAssistant:",
        "chosen_ids": " Ho</s>\n",
        "rejected_ids": " Hm</s>\n",
    }
    assert dataset[0]["chosen_mask"].tolist() == [1, 1, 1, 1, 0]
    assert dataset[0]["prompt_mask"].tolist() == [1] * 19


def test_an_answer_is_cut_so_that_prompt_and_answer_fit(tmp_path):
    row = {"prompt": "1+1=", "chosen": "two", "rejected": "three"}
    assert _parts(_dataset(tmp_path, row, phase="dpo", max_length=6)) == {
        "prompt_ids": "1+1=",
        "chosen_ids": "tw",
        "rejected_ids": "th",
    }


def test_a_batch_of_preferences_has_its_padding_before_prompts_and_behind_answers(tmp_path):
    rows = [{"prompt": "a", "chosen": "b", "rejected": "cc"}, {"prompt": "aaa", "chosen": "bbb", "rejected": "c"}]
    batch = next(iter(DataLoader(_dataset(tmp_path, *rows, phase="dpo"), batch_size=2)))
    assert batch["prompt_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert batch["chosen_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["rejected_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["prompt_ids"].shape == (2, 3)


@pytest.mark.parametrize("phase", ["ppo", "rlaif"])
def test_a_prompt_ends_where_the_assistant_begins(tmp_path, phase):
    dataset = _dataset(tmp_path, {"prompt": "Hi"}, {"messages": TALK}, {"instruction": "Add"}, phase=phase)
    prompts = [dataset.tokenizer.decode(item["input_ids"]) for item in dataset]
    assert prompts == [
        "Hi",
        "System: Be brief.\nUser: Hi\nAssistant: Hello!</s>\nUser: 1+1?\nAssistant:",
        "User: Add\nAssistant:",
    ]
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch["attention_mask"].sum(dim=1).tolist() == [2, 67, 20]
    assert batch["attention_mask"][0].tolist() == [0] * 65 + [1, 1]


def test_a_long_prompt_keeps_its_end(tmp_path):
    item = _dataset(tmp_path, {"prompt": [TALK[1]]}, phase="ppo", max_length=12)[0]
    assert byte_tokenizer().decode(item["input_ids"]) == "i\nAssistant:"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "chosen": "b"}, "no 'rejected'; its fields are 'prompt', 'chosen'"),
        ({"chosen": "a", "rejected": "b"}, "no 'prompt' or 'conversations' or 'messages' or 'instruction'"),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, "'chosen' is empty"),
        ({"prompt": "a", "chosen": 3, "rejected": "b"}, "'chosen' is no list of turns but int"),
    ],
)
def test_a_bad_preference_names_what_is_missing(tmp_path, row, message):
    with pytest.raises(ConfigError, match=message):
        _dataset(tmp_path, row, phase="dpo")[0]


# The order of a run


def test_every_epoch_reads_each_row_once_before_the_next_begins():
    sizes = np.arange(1000) % 37
    order = RowOrder(sizes, batch=8, seed=3, content="a")
    places = order.rows(range(3000))
    assert [sorted(places[start : start + 1000]) for start in (0, 1000, 2000)] == [list(range(1000))] * 3
    assert places[:1000] != places[1000:2000]


def test_a_place_alone_reads_the_row_that_it_reads_in_a_run():
    order = RowOrder(np.arange(700) % 11, batch=4, seed=3, content="a")
    whole = order.rows(range(2100))
    again = RowOrder(np.arange(700) % 11, batch=4, seed=3, content="a")
    assert [again.rows([place])[0] for place in range(2099, -1, -1)] == whole[::-1]


def test_the_order_follows_seed_batch_and_content():
    orders = [
        RowOrder(np.ones(100), batch=batch, seed=seed, content=content)
        for batch, seed, content in [(4, 0, "a"), (4, 1, "a"), (8, 0, "a"), (4, 0, "b")]
    ]
    assert len({tuple(order.rows(range(100))) for order in orders}) == 4
    assert len({order.fingerprint for order in orders}) == 4


def test_a_batch_holds_rows_of_about_one_length_and_batches_do_not_grow():
    sizes = np.random.default_rng(0).integers(10, 1000, 8 * POOL_BATCHES * 4)
    batches = sizes[RowOrder(sizes, batch=8, seed=0, content="a").rows(range(len(sizes)))].reshape(-1, 8)
    padding = 1 - batches.sum() / (batches.max(axis=1) * 8).sum()
    unsorted = 1 - sizes.sum() / (sizes.reshape(-1, 8).max(axis=1) * 8).sum()
    assert padding < 0.03 < 0.4 < unsorted
    assert abs(np.corrcoef(np.arange(len(batches)), batches.mean(axis=1))[0, 1]) < 0.15


# One text file


def test_windows_slide_over_the_bytes_of_a_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abcde")
    dataset = TextDataset(tmp_path / "a.txt", 3)
    assert [(bytes(x.tolist()), bytes(y.tolist())) for x, y in dataset] == [(b"abc", b"bcd"), (b"bcd", b"cde")]
    assert [batch[0].shape for batch in DataLoader(dataset, batch_size=2)] == [(2, 3)]


def test_windows_slide_over_the_ids_of_a_tokenizer(tmp_path):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path / "tokenizer")
    tokenizer = load_tokenizer(str(folder))
    (tmp_path / "a.txt").write_text("A lobster is larger than a shrimp.\n" * 5)
    dataset = TextDataset(tmp_path / "a.txt", 4, tokenizer=str(folder))
    ids = [*tokenizer.encode(["A lobster is larger than a shrimp.\n" * 5])[0].tolist(), tokenizer.eos_id]
    assert (dataset.num_ids, len(dataset)) == (len(ids), len(ids) - 4)
    assert [part.tolist() for part in dataset[7]] == [ids[7:11], ids[8:12]]
    assert [part.tolist() for part in dataset[-1]] == [ids[-5:-1], ids[-4:]]
    assert pickle.loads(pickle.dumps(dataset))[7][0].tolist() == ids[7:11]


@pytest.mark.parametrize(
    ("content", "length", "message"),
    [
        (b"abc", 3, "holds 3 ids and a window takes 4; give a longer text"),
        (b"", 3, "holds 0 ids"),
        (b"abc", 0, "sequence_length 0 holds no id"),
    ],
)
def test_a_text_without_a_window_is_refused(tmp_path, content, length, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        TextDataset(tmp_path / "a.txt", length)
    with pytest.raises(ConfigError, match=r"b\.txt does not exist; give one text file"):
        TextDataset(tmp_path / "b.txt", 3)


# Real files


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data with real conversations is not here")
@pytest.mark.parametrize(
    ("name", "phase", "num_rows"),
    [
        ("sft/fastchat_dummy_conversation.json", "sft", 500),
        ("sft/v1_sft_demo.jsonl", "sft", 500),
        ("sft/seed_tasks.jsonl", "sft", 175),
        ("dpo/dpo_en_demo.json", "dpo", 300),
        ("dpo/dpo_en_demo.json", "ppo", 300),
    ],
)
@pytest.mark.parametrize("template", [None, CHATML, MARKED], ids=["ours", "chatml", "marked"])
def test_real_files_are_read_whole_and_the_assistants_words_are_predicted(name, phase, num_rows, template):
    dataset = UnifiedDataset(SHARED / name, byte_tokenizer(template), 100_000, phase)
    dataset.check()
    assert len(dataset) == num_rows
    if phase != "sft":
        return
    for index, text in enumerate(SHARED.joinpath(name).read_text().splitlines() if name.endswith("l") else []):
        row = json.loads(text)
        words = row["messages"][1]["content"][0]["value"] if "messages" in row else row["instances"][0]["output"]
        _, y, mask = dataset[index]
        end = "</s>" if template is None else "<|im_end|>"
        wanted = words.strip() if template == CHATML else words
        assert dataset.tokenizer.decode(y[mask]).removeprefix(" " if template is None else "") == wanted + end
