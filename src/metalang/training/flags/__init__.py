"""The flags of a run, a dataclass for each group of `--help`."""

from metalang.training.flags.data import DataArguments
from metalang.training.flags.dry_run import DryRunArguments
from metalang.training.flags.elastic import ElasticArguments
from metalang.training.flags.evaluation import EvaluationArguments
from metalang.training.flags.file import FileArguments
from metalang.training.flags.health import HealthArguments
from metalang.training.flags.loss import LossArguments
from metalang.training.flags.model import ModelArguments
from metalang.training.flags.objective import ObjectiveArguments
from metalang.training.flags.run import RunArguments
from metalang.training.flags.samples import SampleArguments
from metalang.training.flags.schedule import ScheduleArguments
from metalang.training.flags.start import StartArguments

__all__ = [
    "DataArguments",
    "DryRunArguments",
    "ElasticArguments",
    "EvaluationArguments",
    "FileArguments",
    "HealthArguments",
    "LossArguments",
    "ModelArguments",
    "ObjectiveArguments",
    "RunArguments",
    "SampleArguments",
    "ScheduleArguments",
    "StartArguments",
]
