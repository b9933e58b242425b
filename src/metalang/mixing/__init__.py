"""The order: which window of which source a run reads at which place, as arithmetic."""

from metalang.mixing.mixture import Mixture, Source, model_ids, named_paths
from metalang.mixing.shares import parse_shares
from metalang.mixing.stream import Stream

__all__ = ["Mixture", "Source", "Stream", "model_ids", "named_paths", "parse_shares"]
