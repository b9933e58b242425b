"""What there is among the domains: a table, a page on one, and a check of every row of a corpus of one."""

import inspect
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from metalang.building.dataset import Dataset
from metalang.corpus import Corpus
from metalang.domains import Domain, Sequences, domain_types, read_domain
from metalang.domains.drawing import drawn_in_two_lines
from metalang.errors import ConfigError, CorpusError
from metalang.specs import as_spec, nearest
from metalang.tables import table

_SHOWN_SYMBOLS = 96


def domain_table(presets: Path) -> str:
    """A line a preset: its file, type, family, paper, the symbols needed, what is predicted, symbols in a row."""
    rows = [("preset", "type", "family", "paper", "symbols", "mask", "row", "what it is")]
    for path in sorted(presets.glob("*.json")):
        domain = read_domain(path)
        sample = domain.sample(domain.key(0, "train"), 0, 100)
        kind = type(domain)
        rows.append(
            (
                path.stem,
                domain.type,
                _family(kind),
                kind.paper,
                f"{domain.num_symbols:,}",
                domain.mask if "mask" in kind.model_fields else "all" if sample.predicted.all() else "own",
                f"{len(sample.symbols) / 100:,.0f}",
                _first_line(kind),
            )
        )
    types = {row[1] for row in rows[1:]}
    return "\n".join([table(rows), "", f"{len(types)} types, {len(rows) - 1} presets"])


def domain_page(name: str, presets: Path, *, num_rows: int) -> str:
    """The definition of a type, its parameters as in its preset, and its first rows, inputs above predictions."""
    kinds = domain_types()
    if name not in kinds:
        raise ConfigError(f"{name!r} is no domain; {nearest(name, list(kinds))}")
    page = [
        f"{name} ({_family(kinds[name])}; {kinds[name].paper})",
        "",
        inspect.cleandoc(kinds[name].__doc__ or ""),
        "",
    ]
    path = presets / f"{name}.json"
    domain = read_domain(path)
    page += [f"as in {path}:", domain.model_dump_json(indent=2), ""]
    for number in range(num_rows):
        row = domain.sample(domain.key(0, "train"), number, 1)
        page += [f"row {number}, {len(row.symbols):,} symbols", _shown(row), ""]
    return "\n".join(page).rstrip()


def _shown(row: Sequences) -> str:
    """A row in two lines, its first symbols where it is long."""
    drawn = drawn_in_two_lines(row.symbols[:_SHOWN_SYMBOLS], row.predicted[:_SHOWN_SYMBOLS])
    more = len(row.symbols) - _SHOWN_SYMBOLS
    return f"{drawn}\n... {more:,} more" if more > 0 else drawn


def domain_document(presets: Path) -> str:
    """`docs/domains.md`: every family with its sources, every type with its definition and its presets."""
    kinds = domain_types()
    by_module: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        by_module.setdefault(kind.__module__, []).append(name)
    lines = ["# Domains", "", f"{len(kinds)} artificial languages. Written by `make docs` from their docstrings.", ""]
    for module, names in sorted(by_module.items()):
        lines += [f"## {module.rsplit('.', maxsplit=1)[-1]}", "", inspect.getdoc(sys.modules[module]) or "", ""]
        for name in names:
            files = [path.stem for path in sorted(presets.glob("*.json")) if path.stem.split("-")[0] == name]
            lines += [f"### {name}", "", f"Presets: {', '.join(files)}. Source: {kinds[name].paper}.", "", "```text"]
            lines += [inspect.cleandoc(kinds[name].__doc__ or ""), "```", ""]
    return "\n".join(lines)


def check_rows(corpus: Corpus) -> int:
    """Checks every row of a synthetic corpus against its domain's definition and marks; the number of rows.

    Raises CorpusError with the row and the first position that breaks it, ConfigError for a corpus of another kind.
    """
    spec = corpus.manifest.spec
    if spec["kind"] != "synthetic":
        raise ConfigError(
            f"{corpus.folder} is a {spec['kind']} corpus; only rows of a domain have a definition to check"
        )
    dataset = as_spec(Dataset, spec["dataset"], f"{corpus.folder}/manifest.json")
    if dataset.control != "none":
        raise ConfigError(
            f"{corpus.folder} is a control ({dataset.control}); only rows of a domain have a definition to check"
        )
    num_rows = corpus.manifest.num_documents
    with tqdm(total=corpus.num_tokens, desc=f"checking {corpus.folder.name}", unit=" tokens", unit_scale=True) as bar:
        for number in range(num_rows):
            symbols, predicted, row = corpus.document(number)
            source = int(row["source"])
            try:
                _require_symbols(symbols, dataset.num_symbols)
                dataset.domains[source].domain.check(*dataset.marks[source].off(symbols, predicted))
            except CorpusError as error:
                raise CorpusError(
                    f"{corpus.folder}, row {number} ({dataset.sources[source]}), {error}; build the corpus again"
                ) from None
            bar.update(len(symbols))
    return num_rows


def _require_symbols(symbols: np.ndarray, num_symbols: int) -> None:
    """Raises CorpusError with the first symbol that the dataset does not have."""
    foreign = np.flatnonzero(symbols >= num_symbols)
    if len(foreign):
        raise CorpusError(f"position {foreign[0]}: symbol {symbols[foreign[0]]} is not below {num_symbols}")


def _family(kind: type[Domain]) -> str:
    return kind.__module__.rsplit(".", maxsplit=1)[-1]


def _first_line(kind: type[Domain]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
