"""The corpora of a run: folders of ours as they are; raw text, and ids of `datasets`, made one once, beside the run."""

from pathlib import Path

from metalang.building import TextBuild, build_corpus
from metalang.building.executors import LocalExecutor, available_cores
from metalang.building.saved import SavedBuild, is_saved
from metalang.building.text_mixture import SPLIT_SUFFIXES, DatasetMixer, is_mixture
from metalang.building.token_mixture import MixtureCorpora, Split, is_token_mixture, read_token_mixture
from metalang.corpus.manifest import FILE_NAME
from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.mixing import Plan, PlanSpec, Source, Stage, Stream, named_paths, parse_shares
from metalang.text.sources import TextSource
from metalang.text.tokenizer import TextTokenizer
from metalang.training.config import Settings
from metalang.training.flags import DataArguments
from metalang.training.ranks import agreed
from metalang.training.streams import open_stream

CACHE = "tokenized"
PREPARED = "prepared"


def as_corpora(paths: list[str], flag: str, settings: Settings, tokenizer: str) -> list[tuple[str, str]]:
    """(name, folder) of the corpus of each path. Rank 0 prepares mixtures and tokenizes raw text, the others wait.

    Of a mixture --data_paths takes the train split, any other flag the validation split.
    """
    found = named_paths(paths, flag)
    mixtures = [path for _, path in found if is_token_mixture(path)]
    of_mixtures = [each for path in mixtures for each in _mixture_folders(path, "validation", settings, tokenizer)]
    named = [(name, path) for name, path in found if path not in mixtures]
    if not named:
        return of_mixtures
    split = "train" if flag == "--data_paths" else "validation"
    folders = agreed(lambda: [str(_as_corpus(path, settings, tokenizer, split)) for _, path in named])
    return [*((name, folder) for (name, _), folder in zip(named, folders, strict=True)), *of_mixtures]


def open_plan(settings: Settings, tokenizer: TextTokenizer, *, num_windows: int, is_resumed: bool) -> Plan:
    """The plan of a run of `num_windows`. Raises ConfigError or MismatchError where there is none."""
    data = settings.data
    run = {"length": data.max_length, "num_windows": num_windows, "seed": settings.run.order_seed}
    if data.data_config and is_token_mixture(data.data_config):
        folders = _mixture_folders(data.data_config, "train", settings, tokenizer.name)
        return (
            read_token_mixture(data.data_config)
            .plan_spec(**run)
            .plan(folders, tokenizer.id_space, verify_reads=data.verify_reads)
        )
    sources = _sources(settings, tokenizer, is_resumed=is_resumed)
    limits = (data.max_epochs,) * len(sources)
    return PlanSpec((Stage(parse_shares(data.data_ratios)),), limits, **run).plan_of(sources)


def _sources(settings: Settings, tokenizer: TextTokenizer, *, is_resumed: bool) -> list[Source | Stream]:
    """What --data_paths names, each opened as a corpus or, by --streaming True, as a stream of raw text."""
    data = settings.data
    named = named_paths(data.data_paths)
    for _, path in named:
        if is_token_mixture(path):
            raise ConfigError(f"{path} describes all the data of a run (unit: tokens); give it as --data_config")
    streamed = {name: path for name, path in named if data.streaming and not is_corpus(path)}
    if data.streaming and not streamed:
        raise ConfigError("--streaming True has nothing to stream: all --data_paths are corpora; leave it out")
    stored = [f"{name}={path}" for name, path in named if name not in streamed]
    opened: dict[str, Source | Stream] = {
        name: open_source(name, folder, data, tokenizer)
        for name, folder in as_corpora(stored, "--data_paths", settings, tokenizer.name)
    }
    for name, path in streamed.items():
        opened[name] = open_stream(name, path, settings, tokenizer, is_resumed=is_resumed)
    return [opened[name] for name, _ in named]


def _mixture_folders(path: str, split: Split, settings: Settings, tokenizer: str) -> list[tuple[str, str]]:
    """(name, folder) of the sources of a mixture of a run. Rank 0 builds what is missing, the others wait."""
    folder = Path(settings.run.output_dir).parent / CACHE
    skip, executor = settings.data.on_bad_line == "skip", LocalExecutor(available_cores())
    corpora = MixtureCorpora(read_token_mixture(path), tokenizer, folder, executor, skip_bad_lines=skip)
    return agreed(lambda: corpora.folders(split))


def open_source(name: str, folder: str, data: DataArguments, tokenizer: TextTokenizer) -> Source:
    """A corpus, opened as a run reads it."""
    return Source(name, folder, tokenizer.id_space, length=data.max_length, verify_reads=data.verify_reads)


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
