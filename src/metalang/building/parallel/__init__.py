"""Parallel text: pairs of translations, cleaned, split, tagged, and what models train on made of them."""

from metalang.building.parallel.cleaning import Cleaning
from metalang.building.parallel.languages import language
from metalang.building.parallel.pairs import PairSource
from metalang.building.parallel.prepare import describe_pairs, prepare_parallel
from metalang.building.parallel.spec import ParallelText
from metalang.building.parallel.tags import Provenance
from metalang.building.parallel.tokenize import ParallelCorpora, tokenize_parallel

__all__ = [
    "Cleaning",
    "PairSource",
    "ParallelCorpora",
    "ParallelText",
    "Provenance",
    "describe_pairs",
    "language",
    "prepare_parallel",
    "tokenize_parallel",
]
