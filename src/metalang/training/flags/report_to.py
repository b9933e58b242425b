"""Flags: the trackers that --report_to may name."""

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from metalang.errors import ConfigError
from metalang.specs import nearest


def require_trackers(names: list[str]) -> None:
    """Raises ConfigError for a tracker of --report_to that transformers does not know, or whose package is missing."""
    available = get_available_reporting_integrations()
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise ConfigError(f"--report_to {name} is no tracker; {nearest(name, sorted(INTEGRATION_TO_CALLBACK))}")
        if name not in available:
            raise ConfigError(
                f"--report_to {name} needs a package that is not installed; pip install {name.replace('_', '-')}, or "
                f"give one that is ({', '.join(available) or 'none is'})"
            )
