"""The dataset of all phases in trainers that are not ours: transformers' Trainer, TRL's SFTTrainer and DPOTrainer."""

import json

import pytest
import torch
import trl
from chat_tokenizers import CHATML, byte_tokenizer
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, Trainer, TrainingArguments

from metalang.training.phases import UnifiedDataset, trainer_batch

ROWS = {
    "pretrain": [{"text": "The quick brown fox jumps over the dog number " + "9" * number} for number in range(1, 9)],
    "sft": [
        {
            "conversations": [
                {"role": "user", "content": f"Say {number}."},
                {"role": "assistant", "content": str(number) * number},
                {"role": "user", "content": "Again."},
                {"role": "assistant", "content": str(number)},
            ]
        }
        for number in range(1, 9)
    ],
    "dpo": [
        {"prompt": [{"role": "user", "content": f"Say {number}."}], "chosen": str(number), "rejected": "No, " * number}
        for number in range(1, 9)
    ],
    "dpo_of_strings": [
        {"prompt": f"{number}+1=", "chosen": str(number + 1), "rejected": "0" * number} for number in range(1, 9)
    ],
}


def _dataset(tmp_path, phase, tokenizer=None):
    path = tmp_path / f"{phase}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[phase]))
    return UnifiedDataset(path, tokenizer or byte_tokenizer(), 128, phase.partition("_")[0])


def _model():
    torch.manual_seed(0)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=384,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=128,
        )
    )


def _arguments(kind, tmp_path, **more):
    return kind(
        output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=4, report_to="none", use_cpu=True,
        logging_steps=1, save_strategy="no", disable_tqdm=True, bf16=False, learning_rate=1e-2, **more,
    )  # fmt: skip


def _losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("phase", ["pretrain", "sft"])
def test_transformers_trainer_takes_two_steps(tmp_path, phase):
    trainer = Trainer(
        model=_model(),
        args=_arguments(TrainingArguments, tmp_path),
        train_dataset=_dataset(tmp_path, phase),
        data_collator=trainer_batch,
    )
    trainer.train()
    first, second = _losses(trainer)
    assert 5.0 < second < first < 7.0  # a fresh model of 384 ids knows nothing: log(384) = 5.95


def test_transformers_loss_of_a_batch_is_that_of_its_predicted_ids(tmp_path):
    rows = _dataset(tmp_path, "sft").__getitems__([0, 3, 7])
    model = _model().eval()
    theirs = model(**trainer_batch(rows)).loss
    total = count = 0.0
    for x, y, mask in rows:
        chosen = model(x.unsqueeze(0)).logits[0].double().log_softmax(-1)[mask]
        total -= chosen.gather(1, y[mask].unsqueeze(1)).sum().item()
        count += int(mask.sum())
    assert count == 6 + 9 + 13  # n digits and one, and for each of both turns a space and EOS
    assert theirs.item() == pytest.approx(total / count, abs=1e-5)


@pytest.mark.parametrize("phase", ["pretrain", "sft"])
def test_trls_sft_trainer_takes_two_steps_on_the_same_ids_and_labels(tmp_path, phase):
    dataset = _dataset(tmp_path, phase)
    trainer = trl.SFTTrainer(
        model=_model(),
        args=_arguments(trl.SFTConfig, tmp_path, max_length=128),
        train_dataset=dataset.for_trl(tmp_path / "cache"),
        processing_class=dataset.tokenizer,
    )
    for (x, y, mask), row in zip(dataset, trainer.train_dataset, strict=True):
        assert row["input_ids"] == [*x[:1].tolist(), *y.tolist()]
        assert row["labels"] == [-100, *torch.where(mask, y, -100).tolist()]
    trainer.train()
    first, second = _losses(trainer)
    assert 5.0 < second < first < 7.0


@pytest.mark.parametrize("template", [None, CHATML], ids=["ours", "chatml"])
@pytest.mark.parametrize("phase", ["dpo", "dpo_of_strings"])
def test_trls_dpo_trainer_takes_two_steps_on_the_same_ids(tmp_path, phase, template):
    dataset = _dataset(tmp_path, phase, byte_tokenizer(template))
    trainer = trl.DPOTrainer(
        model=_model(),
        ref_model=_model(),
        args=_arguments(trl.DPOConfig, tmp_path, max_length=128),
        train_dataset=dataset.for_trl(tmp_path / "cache"),
        processing_class=dataset.tokenizer,
    )
    for ours, theirs in zip(dataset, trainer.train_dataset, strict=True):
        for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
            assert ours[name].tolist() == theirs[name]
    trainer.train()
    first, second = _losses(trainer)
    assert first == pytest.approx(0.6931, abs=1e-3)  # model and reference are one at first: log(2)
    assert second < first


def test_rows_for_trl_follow_the_file(tmp_path):
    dataset = _dataset(tmp_path, "pretrain")
    assert dataset.for_trl(tmp_path / "cache").num_rows == 8
    (tmp_path / "pretrain.jsonl").write_text('{"text": "ab"}\n')
    changed = UnifiedDataset(tmp_path / "pretrain.jsonl", byte_tokenizer(), 128)
    assert changed.for_trl(tmp_path / "cache")["labels"][:] == [[-100, 65, 256]]


def test_prompts_for_trl_are_turns_or_strings(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}\n')
    rows = UnifiedDataset(path, byte_tokenizer(), 128, "ppo").for_trl(tmp_path / "cache")
    assert rows[0] == {"prompt": [{"role": "user", "content": "Hi"}]}
