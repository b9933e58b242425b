"""The order: which window of which source a run reads at which place, as arithmetic."""

from metalang.mixing.plan import Plan, PlanSpec, Stage
from metalang.mixing.reading import Reading
from metalang.mixing.shares import parse_shares
from metalang.mixing.sources import Source, model_ids, named_paths
from metalang.mixing.stream import Stream

__all__ = ["Plan", "PlanSpec", "Reading", "Source", "Stage", "Stream", "model_ids", "named_paths", "parse_shares"]
