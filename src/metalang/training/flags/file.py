"""Flags: the file that holds flags."""

from dataclasses import dataclass, field


@dataclass
class FileArguments:
    """The file that holds flags."""

    _argument_group_name = "flags from a file"

    config: str | None = field(
        default=None,
        metadata={
            "help": "a .yaml or .json of these flags, such as configs/runs/tiny.yaml, in sections or not; a flag on "
            "the command line wins over the file. --log_dir is short for --output_dir"
        },
    )
