"""Which losses of some runs were measured on the same, so that they may stand beside each other."""

import math
from collections.abc import Sequence
from typing import Any

from metalang.comparison.groups import Group
from metalang.comparison.runs import BITS, Run
from metalang.errors import ConfigError


def choose(runs: Sequence[Run], wanted: str | None) -> str:
    """The metric by which runs are compared: the wanted one, or the first that all of them measured on the same,
    evaluations before training losses. Raises ConfigError where there is none."""
    shared = [name for name in runs[0].metrics if all(name in run.metrics for run in runs)]
    bits = [name for name in runs[0].bits if all(name in run.bits for run in runs)]
    if wanted is not None and wanted in (*shared, *bits):
        if reason := clash(runs, wanted):
            raise ConfigError(f"--metric {wanted} cannot be compared: {reason}. {_instead(runs, bits)}")
        return wanted
    if wanted is None and shared:
        fit = [name for name in shared if clash(runs, name) is None]
        if fit:
            return fit[0]
        raise ConfigError(f"{shared[0]} cannot be compared: {clash(runs, shared[0])}. {_instead(runs, bits)}")
    said = f"--metric {wanted} is not" if wanted else "no loss is"
    raise ConfigError(
        f"{said} logged by all of the {len(runs)} runs; all of them have: {', '.join((*shared, *bits)) or 'none'}. "
        "Compare runs that were evaluated on the same"
    )


def drawn(groups: Sequence[Group], chosen: str) -> tuple[list[str], dict[str, str]]:
    """The metrics that are drawn: the chosen one, and what at least two groups (where there is one: it) measured on the
    same, in the order of their logs; and why others of them are not.

    The loss of all sources together is left out where there is one source.
    """
    found = dict.fromkeys(name for group in groups for run in group.runs for name in run.metrics)
    evaluated = [name for name in found if name.startswith("eval_") and name != "eval_loss"]
    trained = [name for name in found if name.startswith("loss_")]
    idle = {total for total, parts in (("eval_loss", evaluated), ("loss", trained)) if len(parts) == 1}
    reasons: dict[str, str | None] = {}
    for name in found:
        having = [[run for run in group.runs if name in run.metrics] for group in groups]
        if name not in idle and sum(map(bool, having)) >= min(2, len(groups)):
            reasons[name] = clash([run for members in having for run in members], name)
    fit = [name for name, reason in reasons.items() if reason is None]
    return [*dict.fromkeys((chosen, *fit))], {name: reason for name, reason in reasons.items() if reason is not None}


def clash(runs: Sequence[Run], metric: str) -> str | None:
    """Why a metric of some runs cannot be compared, None where it can, or where nothing is known to the contrary."""
    known: dict[str, tuple[Run, Any]] = {}
    for run in runs:
        for aspect, value in _measured_on(run, metric).items():
            other, theirs = known.setdefault(aspect, (run, value))
            if theirs != value:
                return f"{other.name} and {run.name} differ in {aspect} ({_plain(theirs)} and {_plain(value)})"
    return None


def _measured_on(run: Run, metric: str) -> dict[str, Any]:
    """What is known of that on which a run measured a metric, by words for it."""
    known: dict[str, Any] = {} if metric.endswith(BITS) else {"the tokenizer": run.tokenizer}
    if metric.endswith(BITS):
        known["the evaluated bytes"] = _num_bytes(run, metric.removesuffix(BITS))
    elif metric.startswith("eval_"):
        prefix = metric.removesuffix("loss")
        known["the evaluated tokens"] = next(
            (log[prefix + "tokens"] for log in run.logs if prefix + "tokens" in log), None
        )
        known["the evaluated content"] = run.evaluated.get(prefix[len("eval_") : -1]) if metric != "eval_loss" else None
    else:  # a curriculum of masked diffusion weighs what it masks otherwise
        known |= {f"the {flag}": run.flags.get(flag) for flag in ("curriculum", "importance")}
    if metric == "loss":
        known["the data"] = run.corpora or None
        known["data_ratios"] = run.flags.get("data_ratios")
    elif metric.startswith("loss_"):
        known["the content of the data"] = run.corpora.get(metric.removeprefix("loss_"))
    return {word: value for word, value in known.items() if value is not None}


def _num_bytes(run: Run, prefix: str) -> int | None:
    """UTF-8 bytes of an evaluated text: its loss in bits, over that of a byte; None where that is never a number."""
    log = next((log for log in run.logs if 0 < log.get(prefix + BITS, 0) < math.inf), None)
    return log and round(log[prefix + "_loss"] * log[prefix + "_tokens"] / math.log(2) / log[prefix + BITS])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {content}" for name, content in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _instead(runs: Sequence[Run], bits: Sequence[str]) -> str:
    fit = [name for name in bits if clash(runs, name) is None]
    return f"Give --metric {fit[0]}" if fit else "Compare runs of one tokenizer that were evaluated on the same"
