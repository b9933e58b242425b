"""The corpora of a run: folders of ours as they are, raw text tokenized once and kept beside the run."""

from pathlib import Path

from accelerate.utils import broadcast_object_list

from metalang.building import TextBuild, build_corpus
from metalang.corpus.manifest import FILE_NAME
from metalang.ids import IdSpace
from metalang.mixing import Mixture, Source, named_paths, parse_shares
from metalang.seeds import digest_of
from metalang.text.sources import TextSource
from metalang.training.config import DataArguments, Settings

CACHE = "tokenized"


def as_corpora(paths: list[str], flag: str, settings: Settings, tokenizer: str) -> list[tuple[str, str]]:
    """(name, folder) of the corpus of each path. Rank 0 tokenizes raw text, the others wait."""
    named = named_paths(paths, flag)
    if not named:
        return []
    folders: list[str | None] = [None] * len(named)
    with settings.run.main_process_first(local=False, desc="tokenizing"):
        if settings.run.process_index == 0:
            folders = [str(_as_corpus(path, settings, tokenizer)) for _, path in named]
    folders = broadcast_object_list(folders)
    return [(name, folder) for (name, _), folder in zip(named, folders, strict=True)]


def open_mixture(
    data: DataArguments, corpora: list[tuple[str, str]], ids: IdSpace, *, num_windows: int, seed: int
) -> Mixture:
    """The mixture that a run of `num_windows` reads. Raises ConfigError or MismatchError where it cannot."""
    sources = [Source(name, folder, ids, length=data.max_length) for name, folder in corpora]
    mixture = Mixture(sources, parse_shares(data.data_ratios), length=data.max_length, seed=seed)
    mixture.require_epochs(num_windows, data.max_epochs)
    return mixture


def _as_corpus(path: str, settings: Settings, tokenizer: str) -> Path:
    if (Path(path) / FILE_NAME).is_file():
        return Path(path)
    data = settings.data
    source = TextSource(path, text_field=data.text_field, sample_by=data.sample_by)
    build = TextBuild(source, tokenizer, skip_bad_lines=data.on_bad_line == "skip")
    folder = Path(settings.run.output_dir).parent / CACHE / digest_of(build.spec)[:16]
    build_corpus(build, folder)
    return folder
