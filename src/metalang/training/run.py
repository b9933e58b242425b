"""A pretraining run, as a table of contents."""

import importlib.metadata
import logging
import secrets
from pathlib import Path
from typing import Any

from torch.utils.data import Subset
from transformers import PreTrainedModel, TrainerCallback, default_data_collator

from metalang.files import write_json
from metalang.run_record import RUN_FILE, read_record
from metalang.text.tokenizer import TextTokenizer, load_tokenizer
from metalang.training.architectures import feed
from metalang.training.before_steps import stops_before_its_steps
from metalang.training.branch import branch_point, require_goes_on
from metalang.training.callbacks.samples import Samples
from metalang.training.callbacks.saves import schedule_callbacks
from metalang.training.callbacks.stop import StopTogether
from metalang.training.checkpoints import claim_output, require_unchanged, resume_point, step_of
from metalang.training.compiling import told_of_compiler
from metalang.training.config import Settings
from metalang.training.counts import SourceCounts
from metalang.training.dataset import plain_errors
from metalang.training.dry_run import dry_run
from metalang.training.earlier import tokens_before, tokens_before_branch
from metalang.training.elastic import go_on
from metalang.training.epochs import settle_epochs
from metalang.training.evaluation import Measures, measures_of, metric_names, require_known_metric
from metalang.training.evaluation.stopping import EarlyStopping
from metalang.training.feed import Feed, continued
from metalang.training.health import Health
from metalang.training.model import build_model
from metalang.training.objectives import objective_of
from metalang.training.provenance import code_version, spec_hashes
from metalang.training.ranks import agreed, stop_if_asked
from metalang.training.report import banner, beginning, summary
from metalang.training.same_run import require_same_run
from metalang.training.sampling import Sampler
from metalang.training.schedule import schedule_lines
from metalang.training.speed import Yardstick, yardstick
from metalang.training.start import first_weights
from metalang.training.stopping import STOPPED_EXIT_CODE, STOPPED_FILE
from metalang.training.tensorboard_trackio import join_trackers
from metalang.training.trainer import MetalangTrainer
from metalang.training.wandb_run import TokenAxis, end_tracking, start_tracking

logger = logging.getLogger(__name__)


@stops_before_its_steps
def pretrain(settings: Settings) -> int:
    """Runs what the settings ask for: the data, the model, the training, the model folder, the summary.

    Gives the exit code: 0, or 85 for a run that was asked to stop and can go on.
    """
    run = settings.run
    settle_epochs(settings)
    if settings.dry.dry_run:
        with told_of_compiler():
            dry_run(settings, _tokenizer(settings))
        return 0
    agreed(lambda: claim_output(run.output_dir, resume=run.resume_training))
    asked, tokenizer = settings.record(), _tokenizer(settings)
    stop_if_asked()
    checkpoint = agreed(lambda: resume_point(run.output_dir)) if run.resume_training else None
    checkpoint = checkpoint or agreed(lambda: branch_point(settings.schedule, run))
    going = go_on(settings, checkpoint)
    data = feed(settings, tokenizer, going.sizes, is_resumed=checkpoint is not None)
    stop_if_asked()
    measures = measures_of(data, settings)
    require_known_metric(run.metric_for_best_model, metric_names(data, measures))
    sampler = _sampler(settings, data, measures)
    model = build_model(settings.model, tokenizer, seed=run.seed, max_length=settings.data.max_length)
    stop_if_asked()
    if checkpoint:
        require_unchanged(checkpoint, _lasting(data, settings, step_of(checkpoint)), rebase_data=run.rebase_data)
        require_same_run(checkpoint, model, settings)
        require_goes_on(checkpoint, settings.schedule, run)
        data = continued(data, checkpoint)
    notes = () if checkpoint else first_weights(model, tokenizer.id_space, settings)
    goes_on = checkpoint is not None and checkpoint.parent == Path(run.output_dir)
    record = _leave_settings(settings, data, asked, goes_on=goes_on)
    tracked = start_tracking(settings, record)
    trainer = _trainer(settings, data, model, measures, checkpoint)
    said = going.record(run.world_size)
    trainer.protect(lambda step: _lasting(data, settings, step) | said, checkpoint)
    writer = join_trackers(trainer, settings, record, step=step_of(checkpoint) if checkpoint else 0)
    stop = StopTogether(trainer.leave_log_open)
    for callback in (TokenAxis(), *going.callbacks, *schedule_callbacks(settings.schedule, trainer), stop):
        trainer.add_callback(callback)
    for callback in _wanted(settings, trainer, sampler, writer):
        trainer.add_callback(callback)
    if run.process_index == 0:
        print(banner(settings, data, trainer), flush=True)
        lines = (*notes, *schedule_lines(settings.schedule, run), beginning(checkpoint), *going.lines)
        print(*lines, sep="\n", flush=True)
    if checkpoint and step_of(checkpoint) == settings.schedule.hard_stop:
        _train_nothing(trainer, step_of(checkpoint))
    with plain_errors(), told_of_compiler():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.step is not None:
        return _stop(trainer, stop.step, tracked)
    _finish(trainer, data, settings, tracked)
    return 0


def _lasting(data: Feed, settings: Settings, step: int) -> dict[str, Any]:
    """What a run that goes on behind a step has to have as the run before."""
    reads = {"max_length": settings.data.max_length, "document_boundaries": settings.data.document_boundaries}
    made = {"architecture": settings.model.architecture, "masks": data.masks}
    return {"plan": data.plan(step), **reads, **made}


def _trainer(
    settings: Settings, data: Feed, model: PreTrainedModel, measures: Measures, checkpoint: Path | None
) -> MetalangTrainer:
    return MetalangTrainer(
        objective=objective_of(settings),
        z_loss=settings.loss.z_loss,
        tokens_per_step=data.tokens_per_step,
        tokens_ahead=data.tokens_ahead,
        counts=SourceCounts(data.reading, checkpoint) if data.reading else None,
        measures=measures,
        yardstick=_yardstick(settings, data, model),
        health=Health(settings.health, data.reading),
        model=model,
        args=settings.run,
        train_dataset=data.train,
        eval_dataset=data.evaluation,
        data_collator=default_data_collator,
        processing_class=data.tokenizer.hf,
    )


def _wanted(
    settings: Settings, trainer: MetalangTrainer, sampler: Sampler | None, writer: Any
) -> list[TrainerCallback]:
    """Callbacks that are there if flags ask for them."""
    callbacks: list[TrainerCallback] = []
    if settings.evaluation.early_stopping_patience:
        callbacks.append(EarlyStopping(settings.evaluation.early_stopping_patience))
    if sampler:
        clock, seen = trainer.throughput.leave_out, lambda: trainer.tokens_seen
        callbacks.append(
            Samples(sampler, settings.samples.sample_steps, tokens_seen=seen, leave_out=clock, writer=writer)
        )
    return callbacks


def _train_nothing(trainer: MetalangTrainer, step: int) -> None:
    """Has a run that goes on behind its last step only end: transformers 5.23 makes a step if there are data for it."""
    trainer.args.max_steps = step
    trainer.train_dataset = Subset(trainer.train_dataset, range(step * trainer.args.windows_per_step))


def _yardstick(settings: Settings, data: Feed, model: PreTrainedModel) -> Yardstick | None:
    run, peak_flops, length = settings.run, settings.health.peak_flops, data.pair_lengths or settings.data.max_length
    return yardstick(model.config, length, run.device, num_devices=run.world_size, peak_flops=peak_flops)


def _leave_settings(settings: Settings, data: Feed, asked: dict[str, Any], *, goes_on: bool) -> dict[str, Any]:
    """Leaves in the output folder what the run was asked for, what it reads and by which versions it is made.

    `asked`: the flags as they were given; of a branch on other ranks the accumulation has been fitted since. A run that
    `goes_on` behind a checkpoint of its own keeps what it was begun with, but for its length and what it leaves out
    (`plan`); one that begins in the folder of an attempt that left nothing else keeps the `run_id` alone. Gives what it
    left, on rank 0; the others write nothing.
    """
    run, path = settings.run, Path(settings.run.output_dir) / RUN_FILE
    if run.process_index != 0:
        return {}
    path.with_name(STOPPED_FILE).unlink(missing_ok=True)
    plan = {"plan": data.reading.record()} if data.reading else {}
    earlier = {"run_id": secrets.token_hex(4)} | (read_record(path.parent) if path.exists() else {})
    if goes_on:
        record = earlier | plan
        write_json(path, record)
        return record
    path.parent.mkdir(parents=True, exist_ok=True)
    versions = {name: importlib.metadata.version(name) for name in ("metalang", "torch", "transformers", "deepspeed")}
    made_of = {"order": data.order, "corpora": data.contents, "specs": spec_hashes(data), "code": code_version()}
    made_of["tokenizer"] = data.tokenizer.id_space.tokenizer
    made_of["evaluated"] = {name: dataset.content_hash for name, dataset in data.evaluation.items()}
    if settings.start.init_from:
        made_of["before"] = tokens_before(settings.start.init_from)
    elif settings.schedule.branch_from:
        made_of["before"] = tokens_before_branch(settings.schedule.branch_from)
    record = {"run_id": earlier["run_id"], **asked, **made_of, "versions": versions, **plan}
    write_json(path, record)
    return record


def _sampler(settings: Settings, data: Feed, measures: Measures) -> Sampler | None:
    """What asks the model for samples, None where none are wanted."""
    if not settings.samples.sample_steps:
        return None
    return Sampler(
        settings.samples,
        data.tokenizer,
        measures.answers,
        seed=settings.run.seed,
        max_length=settings.data.max_length,
        behind_eos=measures.behind_eos,
    )


def _tokenizer(settings: Settings) -> TextTokenizer:
    name = settings.model.tokenizer_name or settings.model.model_name_or_path
    return load_tokenizer(name).with_meta_tokens(settings.model.num_meta_lang_tokens)


def _finish(trainer: MetalangTrainer, data: Feed, settings: Settings, tracked: str | None) -> None:
    """Saves the model folder if asked for, prints the summary, ends the trackers and the process group."""
    run = settings.run
    if run.gather_weights:
        trainer.save_model(run.output_dir)
    trainer.save_state()
    if tracked:
        end_tracking()
    if run.process_index == 0:
        folder = run.output_dir if run.gather_weights else None
        print(summary(trainer, data, model_folder=folder, tracked=tracked), flush=True)
    trainer.end()


def _stop(trainer: MetalangTrainer, step: int, tracked: str | None) -> int:
    """Says where a run was stopped, ends the trackers and the process group."""
    if tracked:
        end_tracking()
    if trainer.is_world_process_zero():
        write_json(Path(trainer.args.output_dir) / STOPPED_FILE, {"step": step})
        print(f"stopped behind step {step}, saved; --resume_training True goes on from there", flush=True)
    trainer.end()
    return STOPPED_EXIT_CODE
