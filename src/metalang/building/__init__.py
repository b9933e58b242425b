"""Makes corpora: of text, of domains, of mixtures. A build is a list of units, each a pure function of its spec."""

from metalang.building.mixed import MixedBuild
from metalang.building.synthetic import SyntheticBuild
from metalang.building.text import TextBuild
from metalang.building.units import available_cores, build_corpus

__all__ = ["MixedBuild", "SyntheticBuild", "TextBuild", "available_cores", "build_corpus"]
