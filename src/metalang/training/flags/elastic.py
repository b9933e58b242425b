"""Flags: how a run goes on elsewhere."""

from dataclasses import dataclass, field


@dataclass
class ElasticArguments:
    """How a run goes on, on another number of ranks."""

    _argument_group_name = "a resume on other machines"

    allow_batch_change: bool = field(
        default=False,
        metadata={
            "help": "with --resume_training or --branch_from: from here on the global batch is "
            "--per_device_train_batch_size x --gradient_accumulation_steps x ranks, whatever it was; the data go on "
            "at the window where they stood. False: the batch of the run stays, and on other ranks the accumulation "
            "is set so that it does"
        },
    )
