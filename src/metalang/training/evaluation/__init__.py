"""What an evaluation measures beside the loss: bits a byte of text, answers that are right, one loss of all sources."""

from metalang.training.evaluation.measures import Measures, measures_of, metric_names, require_known_metric

__all__ = ["Measures", "measures_of", "metric_names", "require_known_metric"]
