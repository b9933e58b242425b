"""Flags: the weights that a run begins with."""

from dataclasses import dataclass, field
from typing import Literal

from metalang.errors import ConfigError


@dataclass
class StartArguments:
    """The weights that a run begins with."""

    _argument_group_name = "the first weights"

    init: Literal["hf", "pythia"] = field(
        default="hf",
        metadata={
            "help": "how fresh weights are drawn; hf: as transformers does, mostly N(0, 0.02^2); pythia: as Pythia's "
            "own training did, std sqrt(2 / 5d), and 2 / (L sqrt(d)) for what writes into the residual stream"
        },
    )
    init_from: str | None = field(
        default=None,
        metadata={
            "help": "begin with weights of an earlier run or of a model (folder or hub name) of the same sizes; "
            "optimizer, schedule and data begin anew. Of a run's --output_dir: those that it ended with (the best ones "
            "under --load_best_model_at_end), or of its newest checkpoint if it has not ended; or name one of its "
            "checkpoints. See --transfer"
        },
    )
    transfer: Literal["all", "body", "attention", "mlp", "statistics"] | None = field(
        default=None,
        metadata={
            "help": "what --init_from gives; all (the default): every weight; body: all but the embeddings; attention, "
            "mlp: these of every layer; statistics: fresh weights, each tensor with the mean and std of the earlier "
            "one (Wu et al. 2022, arXiv 2206.10139, section 5.1)"
        },
    )
    embeddings: Literal["keep", "mean", "fresh"] | None = field(
        default=None,
        metadata={
            "help": "rows of the input and output embeddings with --init_from; keep: the earlier row of the same text "
            "id or symbol; mean: each the mean of all earlier rows; fresh. Default: keep for --transfer all, drawn by "
            "their statistics for statistics, else fresh"
        },
    )

    def __post_init__(self) -> None:
        if self.init_from is None:
            for flag, value in (("transfer", self.transfer), ("embeddings", self.embeddings)):
                if value is not None:
                    raise ConfigError(
                        f"--{flag} {value} has no effect without --init_from; name a run, or leave it out"
                    )
