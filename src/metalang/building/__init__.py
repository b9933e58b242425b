"""Makes corpora: of text, of domains, of mixtures. A build is a list of units, each a pure function of its spec."""

from metalang.building.corpora import build_corpus
from metalang.building.dataset import Dataset, read_dataset
from metalang.building.executors import LocalExecutor, available_cores
from metalang.building.mixed import MixedBuild
from metalang.building.synthetic import SyntheticBuild, domain_build, synthetic_builds
from metalang.building.text import TextBuild

__all__ = [
    "Dataset",
    "LocalExecutor",
    "MixedBuild",
    "SyntheticBuild",
    "TextBuild",
    "available_cores",
    "build_corpus",
    "domain_build",
    "read_dataset",
    "synthetic_builds",
]
