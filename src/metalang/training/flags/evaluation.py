"""Flags: what an evaluation measures, and when it ends a run."""

from dataclasses import dataclass, field

from metalang.errors import ConfigError


@dataclass
class EvaluationArguments:
    """What an evaluation measures, and when it ends a run."""

    _argument_group_name = "the evaluation"

    exact_match_rows: int = field(
        default=64,
        metadata={
            "help": "of each evaluated corpus of a function (identity, addition, ...), rows whose answers by greedy "
            "decoding are compared with the right ones: eval_<name>_exact_match, a share; 0: none"
        },
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "end the run after so many evaluations in turn without a better --metric_for_best_model (by "
            "default loss, that of all evaluated tokens together); default: never"
        },
    )

    def __post_init__(self) -> None:
        if self.exact_match_rows < 0:
            raise ConfigError(f"--exact_match_rows {self.exact_match_rows} is no count; give 0 or more, such as 64")
        if self.early_stopping_patience is not None and self.early_stopping_patience < 1:
            raise ConfigError(
                f"--early_stopping_patience {self.early_stopping_patience} would end the run at once; give 1 or more, "
                "such as 3, or leave it out"
            )
