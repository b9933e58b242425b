"""Flags: what a run would cost, without making it."""

from dataclasses import dataclass, field

from metalang.errors import ConfigError


@dataclass
class DryRunArguments:
    """What a run would cost, without making it."""

    _argument_group_name = "a dry run"

    dry_run: bool = field(
        default=False,
        metadata={
            "help": "no training: print parameters, memory of a GPU, FLOPs and time, make two steps of the real model "
            "on random ids, and leave nothing behind; no data are read, but for the number of pairs of "
            "--num_train_epochs. (DRY_RUN=1 before a launcher of "
            "scripts/launch is another thing: it prints the command.)"
        },
    )
    dry_run_mfu: float = field(
        default=0.4,
        metadata={"help": "share of a GPU's peak that is reached, by which a dry run tells the time; 0 to 1"},
    )
    dry_run_gpus: int | None = field(
        default=None, metadata={"help": "GPUs that a dry run counts with; default: the ranks that it is started on"}
    )

    def __post_init__(self) -> None:
        if not 0 < self.dry_run_mfu <= 1:
            raise ConfigError(f"--dry_run_mfu {self.dry_run_mfu:g} is no share of the peak; give 0 to 1, such as 0.4")
        if self.dry_run_gpus is not None and self.dry_run_gpus < 1:
            raise ConfigError(f"--dry_run_gpus {self.dry_run_gpus} is no count; give 1 or more, such as 8")
