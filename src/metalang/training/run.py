"""A pretraining run, as a table of contents."""

import importlib.metadata
import logging
from dataclasses import asdict
from pathlib import Path

from transformers import default_data_collator

from metalang.errors import ConfigError
from metalang.files import write_json
from metalang.mixing import Mixture, Source
from metalang.text.tokenizer import TextTokenizer, load_tokenizer
from metalang.training.callbacks.complete import CompleteMarker
from metalang.training.checkpoints import RUN_FILE, claim_output, newest_complete, require_unchanged
from metalang.training.config import Settings
from metalang.training.corpora import as_corpora, open_mixture
from metalang.training.dataset import EvaluationDataset, MixtureDataset
from metalang.training.model import build_model
from metalang.training.objectives import OBJECTIVES
from metalang.training.report import banner, beginning, summary
from metalang.training.tracking import end_tracking, start_tracking
from metalang.training.trainer import MetalangTrainer

logger = logging.getLogger(__name__)


def pretrain(settings: Settings) -> None:
    """Runs what the settings ask for: the data, the model, the training, the model folder, the summary."""
    run = settings.run
    claim_output(run.output_dir, resume=run.resume_training)
    tokenizer = _tokenizer(settings)
    num_windows = run.windows_per_step * run.max_steps
    mixture = _mixture(settings, tokenizer, num_windows)
    evaluation = _evaluation(settings, tokenizer)
    model = build_model(settings.model, tokenizer, seed=run.seed, max_length=settings.data.max_length)
    unchanged = {
        "order of the data": mixture.fingerprint,
        "tokens a step": run.windows_per_step * mixture.length,
        "ranks": run.world_size,
    }
    checkpoint = newest_complete(run.output_dir) if run.resume_training else None
    if checkpoint:
        require_unchanged(checkpoint, unchanged)
    _refuse_trained_on(mixture, evaluation)
    _leave_settings(settings, mixture)
    tracked = start_tracking(settings)
    trainer = MetalangTrainer(
        objective=OBJECTIVES[settings.model.architecture],
        max_length=mixture.length,
        model=model,
        args=run,
        train_dataset=MixtureDataset(mixture, num_windows),
        eval_dataset=evaluation,
        data_collator=default_data_collator,
        processing_class=tokenizer.hf,
        callbacks=[CompleteMarker(unchanged)],
    )
    if run.process_index == 0:
        print(banner(settings, mixture, tokenizer, trainer), flush=True)
        print(beginning(checkpoint, run.max_steps), flush=True)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    _finish(trainer, mixture, settings, tracked)


def _leave_settings(settings: Settings, mixture: Mixture) -> None:
    """Leaves in the output folder what the run was asked for, what it reads and by which versions it is made.

    A run that is continued keeps what it was begun with.
    """
    run, path = settings.run, Path(settings.run.output_dir) / RUN_FILE
    if run.process_index != 0 or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    asked = {"model": asdict(settings.model), "data": asdict(settings.data), "run": run.to_sanitized_dict()}
    corpora = {source.name: source.corpus.manifest.content_hash for source in mixture.sources}
    versions = {name: importlib.metadata.version(name) for name in ("metalang", "torch", "transformers", "deepspeed")}
    write_json(path, {**asked, "order": mixture.fingerprint, "corpora": corpora, "versions": versions})


def _refuse_trained_on(mixture: Mixture, evaluation: dict[str, EvaluationDataset]) -> None:
    """Raises ConfigError where the model would be evaluated on what it is trained on."""
    trained = {source.corpus.manifest.content_hash: source.name for source in mixture.sources}
    for name, dataset in evaluation.items():
        if dataset.content_hash in trained:
            raise ConfigError(
                f"--nl_eval_data_path {name} is the corpus {trained[dataset.content_hash]} of --data_paths: its loss "
                "would be that of text learned by heart; hold a part out (tokenize_text.py --split, --validation_ratio)"
            )


def _tokenizer(settings: Settings) -> TextTokenizer:
    name = settings.model.tokenizer_name or settings.model.model_name_or_path
    return load_tokenizer(name).with_meta_tokens(settings.model.num_meta_lang_tokens)


def _mixture(settings: Settings, tokenizer: TextTokenizer, num_windows: int) -> Mixture:
    corpora = as_corpora(settings.data.data_paths, "--data_paths", settings, tokenizer.name)
    return open_mixture(
        settings.data, corpora, tokenizer.id_space, num_windows=num_windows, seed=settings.run.order_seed
    )


def _evaluation(settings: Settings, tokenizer: TextTokenizer) -> dict[str, EvaluationDataset]:
    length, ids = settings.data.max_length, tokenizer.id_space
    corpora = as_corpora(settings.data.nl_eval_data_path, "--nl_eval_data_path", settings, tokenizer.name)
    return {
        name: EvaluationDataset(Source(name, folder, ids, length=length), length=length) for name, folder in corpora
    }


def _finish(trainer: MetalangTrainer, mixture: Mixture, settings: Settings, tracked: str | None) -> None:
    """Saves the model folder if asked for, prints the summary, ends the trackers and the process group."""
    run = settings.run
    if run.gather_weights:
        trainer.save_model(run.output_dir)
    trainer.save_state()
    if tracked:
        end_tracking()
    if run.process_index == 0:
        folder = run.output_dir if run.gather_weights else None
        print(summary(trainer, mixture, model_folder=folder, tracked=tracked), flush=True)
    trainer.end()
