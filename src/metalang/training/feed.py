"""What a run is fed, phase by phase: the windows of a mixture, or the rows of a file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from metalang.errors import ConfigError
from metalang.files import read_json
from metalang.mixing import Plan, Reading, Stage, named_paths, parse_shares
from metalang.mixing.plan import Use
from metalang.mixing.reading import leave_out
from metalang.mixing.skips import parse_steps, read_documents
from metalang.mixing.step_sizes import StepSizes
from metalang.sizes import counted, counted_shortly
from metalang.text.tokenizer import TextTokenizer
from metalang.training.checkpoints import DATA_FILE
from metalang.training.config import Settings
from metalang.training.corpora import as_corpora, open_plan, open_source
from metalang.training.dataset import EvaluationDataset, PlanDataset
from metalang.training.phases import UnifiedDataset
from metalang.training.phases.order import RowOrder
from metalang.training.phases.rows import EvaluationRows, RunRows


@dataclass(frozen=True)
class Feed:
    """Data of a run, and what its reports say of it.

    `tokens_per_step` is None where steps differ, and tokens are counted as they are read. `plan`: JSON of the order
    until a step. `contents`: a name for the content of each source that is trained on. `batch`, `amount`, `sources` and
    `left_out` are lines of the banner, `places` of the summary. `reading`: None where rows are read. `tokens_ahead`:
    tokens read in steps of another size, more than `tokens_per_step` would have made of them. `masks`: what decides
    which ids are masked, None where none are. `pair_lengths`: ids of a mean pair that are read and that are said, None
    where no pairs are.
    """

    tokenizer: TextTokenizer
    train: Dataset
    evaluation: dict[str, Any]
    order: str
    plan: Callable[[int], dict[str, Any]]
    contents: dict[str, str]
    tokens_per_step: int | None
    batch: str
    amount: str
    sources: tuple[str, ...]
    places: str
    left_out: tuple[str, ...] = ()
    reading: Reading | None = None
    tokens_ahead: int = 0
    masks: str | None = None
    pair_lengths: tuple[int, int] | None = None


def feed(settings: Settings, tokenizer: TextTokenizer, sizes: StepSizes, *, is_resumed: bool) -> Feed:
    """What the phase of a run reads. Raises ConfigError where a source is bad, too short, or trained and tested on."""
    made = _FEEDS[settings.data.phase](settings, tokenizer, sizes, is_resumed)
    refuse_trained_on(made)
    return made


def continued(data: Feed, checkpoint: Path) -> Feed:
    """The data of a run that goes on: what it leaves out since when. Raises MismatchError where it read something else
    before."""
    if data.reading is None:
        return data
    before = read_json(checkpoint / DATA_FILE)
    documents = data.reading.continued(before["skipped"], before["step"])
    return replace(data, reading=replace(data.reading, documents=documents))


def _windows(settings: Settings, tokenizer: TextTokenizer, sizes: StepSizes, is_resumed: bool) -> Feed:
    run, length, boundaries = settings.run, settings.data.max_length, settings.data.document_boundaries
    reading, num_unpredicted = _reading(settings, tokenizer, sizes, is_resumed)
    plan, per_step, steps = reading.plan, sizes.now, reading.steps
    if boundaries != "ignore":
        plan.document_starts([0])  # raises where a source has no index
    held_out = as_corpora(settings.data.nl_eval_data_path, "--nl_eval_data_path", settings, tokenizer.name)
    tokens = per_step * length
    total = sizes.before(run.max_steps) * length
    return Feed(
        tokenizer=tokenizer,
        train=PlanDataset(
            plan, per_step * run.max_steps, boundaries, skipped=steps, windows_per_step=per_step, ahead=sizes.ahead
        ),
        evaluation={
            name: EvaluationDataset(
                open_source(name, folder, settings.data, tokenizer), length=length, boundaries=boundaries
            )
            for name, folder in held_out
        },
        order=plan.fingerprint,
        plan=lambda step: plan.description(reading.reached(step)),
        contents={source.name: source.content_hash for source in plan.sources},
        tokens_per_step=tokens,
        tokens_ahead=sizes.ahead * length,
        batch=f"{counted(per_step, 'window')} of {length} = {counted(tokens, 'token')} a step",
        amount=counted_shortly(total, "token"),
        sources=_uses(plan, reading.reached(run.max_steps)),
        places="corpora: " + ", ".join(f"{source.name}={source.origin}" for source in plan.sources),
        left_out=_left_out(reading, num_unpredicted),
        reading=reading,
    )


def _reading(settings: Settings, tokenizer: TextTokenizer, sizes: StepSizes, is_resumed: bool) -> tuple[Reading, int]:
    """What the windows of a run are, and how many ids of its corpora are not predicted for --skip_documents."""
    run, data = settings.run, settings.data
    steps = parse_steps(data.skip_steps)
    documents = () if data.skip_documents is None else read_documents(data.skip_documents)
    steps.require_reached(run.max_steps)
    num_windows = sizes.before(int(steps.of_plan([run.max_steps])[0]))
    plan = open_plan(settings, tokenizer, num_windows=num_windows, is_resumed=is_resumed)
    num_unpredicted = leave_out(plan.sources, documents)
    reading = Reading(
        plan,
        tokenizer.id_space,
        tokenizer.name,
        windows_per_step=sizes.now,
        num_steps=run.max_steps,
        steps=steps,
        documents=documents,
        earlier=sizes.earlier,
    )
    return reading, num_unpredicted


def _left_out(reading: Reading, num_unpredicted: int) -> tuple[str, ...]:
    said, steps = [], reading.steps
    if steps.ranges:
        num_windows = steps.num_steps * reading.windows_per_step
        said.append(f"steps {' '.join(steps.texts)} of the plan: {num_windows:,} windows, among those of the sources")
    if reading.documents:
        said.append(f"{len(reading.documents):,} documents: {num_unpredicted:,} tokens are read and not predicted")
    return tuple(said)


def _uses(plan: Plan, num_windows: int) -> tuple[str, ...]:
    sources = tuple(map(_use, plan.usage(num_windows)))
    if len(plan.stages) == 1:
        return sources
    return (*sources, *(_stage(*stage) for stage in plan.usage_by_stage(num_windows)))


def _stage(stage: Stage, begin: int, end: int, uses: list[Use]) -> str:
    shares = ", ".join(f"{use.share:.2%} {use.name}" for use in uses)
    return f"stage {stage.name or 'without a name'}: windows {begin:,} to {end - 1:,}: {shares}"


def _use(use: Use) -> str:
    taken = f"{use.name}: {use.share:.2%}, {use.num_tokens:,} tokens"
    if use.held_tokens is None:
        return f"{taken}, streamed in the order of the text"
    epochs = f"{use.epochs:.3g} epochs of {use.held_tokens:,}"
    unread = f" ({use.left_over:,} behind its last window are not read)" if use.left_over else ""
    return f"{taken} = {epochs}{unread}"


def _conversations(settings: Settings, tokenizer: TextTokenizer, sizes: StepSizes, is_resumed: bool) -> Feed:
    run, batch = settings.run, sizes.now
    ((name, path),) = _one_file(settings)
    dataset = _open(path, settings, tokenizer)
    order = RowOrder(dataset.sizes, batch=batch, seed=run.order_seed, content=dataset.fingerprint)
    num_places = batch * run.max_steps
    epochs = num_places / len(dataset)
    require_epochs(name, len(dataset), "conversations", asked=num_places, max_epochs=settings.data.max_epochs)
    held_out = named_paths(settings.data.nl_eval_data_path, "--nl_eval_data_path")
    left_out = f" ({dataset.num_bad:,} bad ones are left out)" if dataset.num_bad else ""
    return Feed(
        tokenizer=replace(tokenizer, backend=dataset.tokenizer.backend_tokenizer, _hf=dataset.tokenizer),
        train=RunRows(dataset, order, num_places),
        evaluation={each: EvaluationRows(_open(place, settings, tokenizer)) for each, place in held_out},
        order=order.fingerprint,
        plan=lambda step: {"rows": order.fingerprint},
        contents={name: dataset.content_hash},
        tokens_per_step=None,
        batch=f"{counted(batch, 'conversation')} of up to {settings.data.max_length} predicted ids a step",
        amount=counted(num_places, "conversation"),
        sources=(f"{name}: {counted(num_places, 'conversation')} = {epochs:.3g} epochs of {len(dataset):,}{left_out}",),
        places=f"data: {name}={path}",
    )


_FEEDS = {"pretrain": _windows, "sft": _conversations}


def _one_file(settings: Settings) -> tuple[tuple[str, str], ...]:
    if settings.data.streaming:
        raise ConfigError("--phase sft reads its rows from the file as it is; leave --streaming out")
    if settings.data.verify_reads:
        raise ConfigError("--phase sft reads its rows from a file without hashes; leave --verify_reads out")
    named = named_paths(settings.data.data_paths)
    if len(named) != 1 or len(parse_shares(settings.data.data_ratios)) != 1:
        raise ConfigError(
            f"--phase sft reads one file of conversations, and {len(named)} --data_paths with --data_ratios "
            f"{' '.join(settings.data.data_ratios)} are given; join them to one file, and give --data_ratios 1"
        )
    return named


def _open(path: str, settings: Settings, tokenizer: TextTokenizer) -> UnifiedDataset:
    """The conversations of a file, all of them looked at. A row has one id more than are predicted: the first."""
    data = settings.data
    dataset = UnifiedDataset(path, tokenizer.hf, data.max_length + 1, phase="sft", on_bad_line=data.on_bad_line)
    if data.on_bad_line == "error":
        dataset.check()
    return dataset


def require_epochs(name: str, held: int, what: str, *, asked: int, max_epochs: float) -> None:
    """Raises ConfigError where `held` conversations, or pairs, would be read more often than `max_epochs`."""
    epochs = asked / held
    if epochs > max_epochs:
        raise ConfigError(
            f"{name} holds {held:,} {what} and is asked for {asked:,}, {epochs:.2f} epochs. "
            f"At most {max_epochs:g} epochs are allowed: set --max_epochs {ceil(100 * epochs) / 100:g} to read that "
            "often, ask for fewer steps, or give more data"
        )


def refuse_trained_on(made: Feed) -> None:
    """Raises ConfigError where the model would be evaluated on what it is trained on."""
    trained = {content: name for name, content in made.contents.items()}
    for name, dataset in made.evaluation.items():
        if dataset.content_hash in trained:
            raise ConfigError(
                f"--nl_eval_data_path {name} is {trained[dataset.content_hash]} of --data_paths: its loss would be "
                "that of text learned by heart; hold a part out (tokenize_text.py --split, --validation_ratio)"
            )
