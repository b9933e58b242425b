"""What a run that goes on, or stops, does by its own flags: one process, without a launcher."""

import json
import os
import shutil
import signal

import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback, default_data_collator

from metalang.building import build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.errors import MismatchError
from metalang.mixing import Plan, Reading, Source, Stage
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.callbacks.saves import HardStop
from metalang.training.callbacks.stop import StopTogether
from metalang.training.counts import SourceCounts
from metalang.training.dataset import EvaluationDataset, PlanDataset
from metalang.training.earlier import read_earlier, tokens_before
from metalang.training.evaluation.stopping import EarlyStopping
from metalang.training.flags import ModelArguments, RunArguments
from metalang.training.model import build_model
from metalang.training.objectives.causal import Causal
from metalang.training.probe import Probe
from metalang.training.stopping import listening
from metalang.training.trainer import MetalangTrainer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A model, a tokenizer and a source of a function."""
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    identity = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
    build_corpus(domain_build(identity, num_token=2_000), folder / "identity")
    # Without DeepSpeed transformers 5.23 loses the head of a GPT-NeoX.
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    (folder / "llama.json").write_text(json.dumps({"model_type": "llama", **sizes}))
    tokenizer = load_tokenizer(str(folder / "tokenizer")).with_meta_tokens(82)
    return folder / "llama.json", tokenizer, Source("identity", folder / "identity", tokenizer.id_space, length=32)


def _trainer(data, output, *, max_steps=6, **flags):
    architecture, tokenizer, source = data
    output.mkdir(exist_ok=True)
    run = RunArguments(
        output_dir=str(output), max_steps=max_steps, use_cpu=True, per_device_train_batch_size=2, report_to="none",
        disable_tqdm=True, eval_strategy="steps", metric_for_best_model="loss", **flags,
    )  # fmt: skip
    model = ModelArguments(str(architecture), tokenizer_name="t", num_meta_lang_tokens=82, random_initialize=True)
    plan = Plan([source], [Stage((1,))], length=32, seed=42)
    return MetalangTrainer(
        objective=Causal(),
        tokens_per_step=64,
        counts=SourceCounts(Reading(plan, tokenizer.id_space, "t", 2, max_steps), None),
        model=build_model(model, tokenizer, seed=1, max_length=32),
        args=run,
        train_dataset=PlanDataset(plan, 2 * max_steps),
        eval_dataset={"identity": EvaluationDataset(source, length=32)},
        data_collator=default_data_collator,
    )


class _Asks(TrainerCallback):
    """Asks this process to stop behind the fourth step, by a signal: the run stops behind the sixth."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 4:
            os.kill(os.getpid(), signal.SIGUSR1)


class _SignalToReaders(TrainerCallback):
    """Sends SIGTERM to all that this process has started since the run began, behind the third step."""

    count = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self.others = psutil.Process().children()

    def on_step_end(self, args, state, control, **kwargs):
        children = psutil.Process().children() if state.global_step == 3 else []
        readers = [child for child in children if child not in self.others]
        self.count = len(readers) or self.count
        for reader in readers:
            reader.terminate()


def _steps(trainer, key):
    return [entry["step"] for entry in trainer.state.log_history if key in entry]


def _saved(output):
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in output.glob("checkpoint-*"))


def test_a_run_that_goes_on_logs_evaluates_and_saves_as_its_own_flags_say_and_keeps_its_best_in_a_moved_folder(
    data, tmp_path
):
    then = {name: 2 for name in ("logging_steps", "eval_steps", "save_steps")} | {"greater_is_better": True}
    _trainer(data, tmp_path / "then", max_steps=4, learning_rate=1e-3, **then).train()  # its loss falls: step 2 is best
    shutil.move(tmp_path / "then", tmp_path / "now")
    checkpoint, now = tmp_path / "now/checkpoint-4", {name: 1 for name in then}
    trainer = _trainer(data, tmp_path / "now", learning_rate=1e-3, save_total_limit=2, **now)
    trainer.protect(lambda step: {}, checkpoint)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    assert _steps(trainer, "loss") == [2, 4, 5, 6] and _steps(trainer, "eval_loss") == [2, 4, 5, 6]
    assert _saved(tmp_path / "now") == [2, 6]
    assert trainer.state.best_model_checkpoint == f"{tmp_path}/now/checkpoint-2"


def test_the_logged_losses_of_a_run_that_goes_on_are_those_of_the_uninterrupted_one_wherever_it_was_saved(
    data, tmp_path
):
    flags = {"learning_rate": 1e-3, "logging_steps": 4, "save_steps": 3, "eval_steps": 100}
    whole = _trainer(data, tmp_path / "whole", **flags)
    whole.train()
    checkpoint = tmp_path / "whole/checkpoint-3"
    resumed = _trainer(data, tmp_path / "resumed", **flags)
    resumed.protect(lambda step: {}, checkpoint)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    losses = [{row["step"]: row["loss"] for row in run.state.log_history if "loss" in row} for run in (whole, resumed)]
    assert losses[0] == losses[1] and list(losses[0]) == [3, 4, 6]


def test_a_branch_begins_its_own_best_metric_and_its_own_patience(data, tmp_path):
    flags = {"logging_steps": 1, "eval_steps": 1, "save_steps": 1, "greater_is_better": True}
    trunk = _trainer(
        data, tmp_path / "trunk", max_steps=4, learning_rate=1e-3, **flags
    )  # its loss falls: step 1 is best
    trunk.add_callback(EarlyStopping(2))
    trunk.train()
    assert trunk.state.global_step == 3 and trunk.state.best_global_step == 1
    checkpoint = tmp_path / "trunk/checkpoint-3"
    branch = _trainer(data, tmp_path / "branch", learning_rate=1e-3, **flags)
    branch.protect(lambda step: {}, checkpoint)
    branch.add_callback(EarlyStopping(2))
    branch.train(resume_from_checkpoint=str(checkpoint))
    assert (branch.state.best_global_step, branch.state.best_model_checkpoint) == (4, f"{tmp_path}/branch/checkpoint-4")
    assert branch.state.global_step == 6 and _saved(tmp_path / "branch") == [4, 5, 6]


def test_init_from_a_run_that_ended_with_its_best_weights_gives_these(data, tmp_path):
    flags = {"logging_steps": 1, "eval_steps": 1, "save_steps": 1, "greater_is_better": True}
    run = tmp_path / "run"
    for is_best, place, tokens in ((True, "checkpoint-1", 256), (False, "checkpoint-4", 256)):
        trainer = _trainer(data, run, max_steps=4, learning_rate=1e-3, load_best_model_at_end=is_best, **flags)
        trainer.train()
        trainer.save_model(run)
        trainer.save_state()
        (run / "run.json").write_text('{"run": {}}')
        earlier = read_earlier(str(run))
        assert earlier.origin == f"float32 weights of {run}/{place}"
        assert torch.equal(earlier.tensors["lm_head.weight"], load_file(run / "model.safetensors")["lm_head.weight"])
        assert tokens_before(str(run))["tokens_seen"] == tokens
    shutil.rmtree(run / "checkpoint-4")
    assert read_earlier(str(run)).origin == f"float32 weights of {run}"


def test_a_checkpoint_holds_the_logits_of_its_first_positions_and_wants_each_of_them(data, tmp_path):
    trainer = _trainer(data, tmp_path / "run", max_steps=2, save_steps=2, eval_steps=2)
    trainer.train()
    checkpoint = tmp_path / "run/checkpoint-2"
    stored = load_file(checkpoint / "probe.safetensors")
    model = trainer.model.eval()
    with torch.no_grad():
        logits = model(input_ids=stored["input_ids"]).logits
    assert stored["logits"].shape == (8, 768) and torch.allclose(stored["logits"], logits[0, :8], atol=1e-6)
    probe = Probe.of(checkpoint)
    probe.require(trainer.answers_of(probe.inputs), checkpoint)
    unread = next(token for token in range(768) if token not in stored["labels"])
    with torch.no_grad():
        model.get_output_embeddings().weight[unread] += 1e-3
    with pytest.raises(MismatchError, match=r"its logits are off by \d\.\de-0\d of their norm"):
        probe.require(trainer.answers_of(probe.inputs), checkpoint)


def test_a_run_that_a_signal_stops_between_two_logs_goes_on_with_what_was_summed_for_the_next(data, tmp_path):
    flags = {"learning_rate": 1e-3, "logging_steps": 4, "save_steps": 8, "eval_steps": 100, "max_steps": 8}
    whole = _trainer(data, tmp_path / "whole", **flags)
    whole.train()
    stopped = _trainer(data, tmp_path / "run", **flags)
    stopped.add_callback(StopTogether(stopped.leave_log_open))
    stopped.add_callback(_Asks())
    with listening({}):
        stopped.train()
    assert _saved(tmp_path / "run") == [6] and _steps(stopped, "loss") == [4]
    checkpoint = tmp_path / "run/checkpoint-6"
    resumed = _trainer(data, tmp_path / "run", **flags)
    resumed.protect(lambda step: {}, checkpoint)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    kept = ("step", "loss", "loss_identity", "learning_rate", "tokens_seen")
    rows = [
        [{key: row[key] for key in kept} for row in run.state.log_history if "loss" in row] for run in (whole, resumed)
    ]
    assert rows[0] == rows[1] and [row["step"] for row in rows[0]] == [4, 8]
    copies = Source("copies", data[0].parent / "identity", data[1].id_space, length=32)
    rebased = _trainer((*data[:2], copies), tmp_path / "run", **flags)
    rebased.protect(lambda step: {}, checkpoint)
    rebased.train(resume_from_checkpoint=str(checkpoint))
    (row,) = [row for row in rebased.state.log_history if "loss_copies" in row]
    assert row["step"] == 8 and abs(row["loss"] - rows[0][1]["loss"]) > 1e-4  # of two steps, not of four


def test_a_run_that_saves_its_best_alone_has_a_checkpoint_where_it_is_stopped(data, tmp_path):
    trainer = _trainer(data, tmp_path / "run", learning_rate=9.0, save_strategy="best", eval_steps=1)
    trainer.add_callback(HardStop(3))
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert losses.index(min(losses)) == 0 and _saved(tmp_path / "run") == [1, 3]


def test_a_signal_to_every_process_leaves_the_readers_of_data_to_their_rank(data, tmp_path):
    trainer = _trainer(data, tmp_path / "run", max_steps=20, eval_steps=10, dataloader_num_workers=1)
    sent = _SignalToReaders()
    trainer.add_callback(sent)
    trainer.train()
    assert sent.count == 1 and trainer.state.global_step == 20
