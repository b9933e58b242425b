"""The corpora of a run: folders of ours as they are; raw text, and ids of `datasets`, made one once, beside the run."""

from pathlib import Path

from accelerate.utils import broadcast_object_list

from metalang.building import TextBuild, build_corpus
from metalang.building.saved import SavedBuild, is_saved
from metalang.building.text_mixture import SPLIT_SUFFIXES, DatasetMixer, is_mixture
from metalang.corpus.manifest import FILE_NAME
from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.mixing import Plan, Source, Stage, Stream, named_paths, parse_shares
from metalang.text.sources import TextSource
from metalang.text.tokenizer import TextTokenizer
from metalang.training.config import DataArguments, Settings
from metalang.training.streams import open_stream

CACHE = "tokenized"
PREPARED = "prepared"


def as_corpora(paths: list[str], flag: str, settings: Settings, tokenizer: str) -> list[tuple[str, str]]:
    """(name, folder) of the corpus of each path. Rank 0 prepares mixtures and tokenizes raw text, the others wait.

    Of a mixture --data_paths takes the train split, any other flag the validation split.
    """
    named = named_paths(paths, flag)
    if not named:
        return []
    folders: list[str | None] = [None] * len(named)
    with settings.run.main_process_first(local=False, desc="tokenizing"):
        if settings.run.process_index == 0:
            split = "train" if flag == "--data_paths" else "validation"
            folders = [str(_as_corpus(path, settings, tokenizer, split)) for _, path in named]
    folders = broadcast_object_list(folders)
    return [(name, folder) for (name, _), folder in zip(named, folders, strict=True)]


def open_sources(settings: Settings, tokenizer: TextTokenizer, *, is_resumed: bool) -> list[Source | Stream]:
    """What --data_paths names, each opened as a corpus or, by --streaming True, as a stream of raw text."""
    data = settings.data
    named = named_paths(data.data_paths)
    streamed = {name: path for name, path in named if data.streaming and not is_corpus(path)}
    if data.streaming and not streamed:
        raise ConfigError("--streaming True has nothing to stream: all --data_paths are corpora; leave it out")
    stored = [f"{name}={path}" for name, path in named if name not in streamed]
    opened: dict[str, Source | Stream] = {
        name: Source(name, folder, tokenizer.id_space, length=data.max_length)
        for name, folder in as_corpora(stored, "--data_paths", settings, tokenizer.name)
    }
    for name, path in streamed.items():
        opened[name] = open_stream(name, path, settings, tokenizer, is_resumed=is_resumed)
    return [opened[name] for name, _ in named]


def make_plan(data: DataArguments, sources: list[Source | Stream], *, num_windows: int, seed: int) -> Plan:
    """The plan of a run of `num_windows`. Raises ConfigError or MismatchError where there is none."""
    plan = Plan(sources, [Stage(parse_shares(data.data_ratios))], length=data.max_length, seed=seed)
    plan.require_epochs(num_windows, data.max_epochs)
    return plan


def is_corpus(path: str) -> bool:
    """Whether a path is a folder of ours."""
    return (Path(path) / FILE_NAME).is_file()


def _as_corpus(path: str, settings: Settings, tokenizer: str, split: str) -> Path:
    if is_corpus(path):
        return Path(path)
    beside = Path(settings.run.output_dir).parent
    build = SavedBuild(Path(path)) if is_saved(Path(path)) else _text_build(path, settings, tokenizer, split)
    folder = beside / CACHE / digest_of(build.spec)[:16]
    build_corpus(build, folder)
    return folder


def _text_build(path: str, settings: Settings, tokenizer: str, split: str) -> TextBuild:
    data, skip_bad_lines = settings.data, settings.data.on_bad_line == "skip"
    if not is_mixture(path):
        source = TextSource(path, text_field=data.text_field, sample_by=data.sample_by)
        return TextBuild(source, tokenizer, skip_bad_lines=skip_bad_lines, tokenizer_backend=data.tokenizer_backend)
    prepared = _prepared(path, Path(settings.run.output_dir).parent / PREPARED, split, skip_bad_lines)
    return TextBuild(
        TextSource(str(prepared)), tokenizer, skip_bad_lines=skip_bad_lines, tokenizer_backend=data.tokenizer_backend
    )


def _prepared(path: str, folder: Path, split: str, skip_bad_lines: bool) -> Path:
    """The prepared file of a split of a mixture; it is made where it is missing."""
    mixer = DatasetMixer.from_yaml(path, skip_bad_lines=skip_bad_lines)
    return mixer.prepare_dataset(folder / f"{mixer.name}_{SPLIT_SUFFIXES[split]}.jsonl", split)
