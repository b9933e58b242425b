"""What a run was asked for and is made of, as its run.json says it: {"run_id": "...", "run": {FLAG: VALUE}, ...}."""

from pathlib import Path
from typing import Any

from metalang.errors import CorpusError
from metalang.files import read_json

RUN_FILE = "run.json"
"""In the --output_dir of a run."""
_OBJECTS = ("run", "corpora", "versions", "before")


def read_record(folder: Path) -> dict[str, Any]:
    """The run.json of a run. Raises CorpusError where it is damaged."""
    path = Path(folder) / RUN_FILE
    try:
        record = read_json(path)
        fault = _fault(record)
    except CorpusError:
        fault = "it is no JSON"
    if fault:
        raise CorpusError(
            f"{path} is damaged: {fault}; put back the file that the run wrote, train the run again, or give another "
            "folder"
        )
    return record


def _fault(record: Any) -> str | None:
    """What is wrong with the shape of a run.json; None where nothing is.

    >>> _fault([]), _fault({}), _fault({"run": {}, "before": 3}), _fault({"run": {}})
    ('it is no object', 'it has no run', 'its before is no object', None)
    """
    if not isinstance(record, dict):
        return "it is no object"
    if "run" not in record:
        return "it has no run"
    return next((f"its {name} is no object" for name in _OBJECTS if not isinstance(record.get(name, {}), dict)), None)
