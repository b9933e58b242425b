"""Flags: what masked diffusion masks when."""

import re
from dataclasses import dataclass, field
from typing import Literal

from metalang.errors import ConfigError

_STAGES = ("easy", "medium", "hard")
_RANGE = re.compile(r"(\w+)=(\d*\.?\d+)-(\d*\.?\d+)")


@dataclass
class ObjectiveArguments:
    """What is masked when, of `--architecture masked_diffusion`."""

    _argument_group_name = "the curriculum of --architecture masked_diffusion"

    curriculum: Literal["none", "importance"] = field(
        default="none",
        metadata={
            "help": "none: every predicted id is as likely to be masked; importance: ids whose importance "
            "(--importance, 0 to 1) lies in the range of the stage are ten times as likely; the training loss is then "
            "no bound. Evaluation is always without"
        },
    )
    importance: Literal["surprisal", "learned"] = field(
        default="surprisal",
        metadata={
            "help": "what makes an id important, as a rank among the ids of the run. surprisal: how rare it is, "
            "wherever it stands; learned: how little its two neighbours on either side foretell it, by a small network "
            "that is trained on up to 4 million ids of the run before the first step (some seconds) and kept as "
            "importance.npz in --output_dir"
        },
    )
    stage_1_end: float = field(default=0.33, metadata={"help": "share of --max_steps at which the easy stage ends"})
    stage_2_end: float = field(default=0.66, metadata={"help": "share of --max_steps at which the medium stage ends"})
    importance_ranges: list[str] = field(
        default_factory=lambda: ["easy=0.0-0.4", "medium=0.3-0.7", "hard=0.6-1.0"],
        metadata={"help": "least and greatest importance of each stage, STAGE=LEAST-GREATEST"},
    )

    def __post_init__(self) -> None:
        if not 0 <= self.stage_1_end <= self.stage_2_end <= 1:
            raise ConfigError(
                f"--stage_1_end {self.stage_1_end:g} and --stage_2_end {self.stage_2_end:g} are no shares of a run in "
                "order; give 0 to 1, the second no less than the first, such as 0.33 and 0.66"
            )
        _ = self.ranges

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Least and greatest importance of the three stages. Raises ConfigError for what is no such range.

        >>> ObjectiveArguments().ranges
        ((0.0, 0.4), (0.3, 0.7), (0.6, 1.0))
        """
        found = {}
        for text in self.importance_ranges:
            match = _RANGE.fullmatch(text)
            least, greatest = (float(match[2]), float(match[3])) if match else (1.0, 0.0)
            if match is None or match[1] not in _STAGES or not least <= greatest <= 1:
                raise ConfigError(
                    f"--importance_ranges {text} is no range of a stage; write easy=0.0-0.4 medium=0.3-0.7 hard=0.6-1.0"
                )
            found[match[1]] = least, greatest
        if len(found) != 3 or len(self.importance_ranges) != 3:
            raise ConfigError(
                f"--importance_ranges {' '.join(self.importance_ranges)} does not give easy, medium and hard once "
                "each; write easy=0.0-0.4 medium=0.3-0.7 hard=0.6-1.0"
            )
        return tuple(found[stage] for stage in _STAGES)
