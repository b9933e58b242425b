"""What a reader of a comparison has to know before its numbers: what is missing, and what is not as it seems."""

from collections.abc import Mapping, Sequence

from metalang.comparison.curves import lost
from metalang.comparison.groups import AS_FAR, Group
from metalang.sizes import format_size


def notes(base: Group, groups: Sequence[Group], metric: str, left_out: Mapping[str, str]) -> list[str]:
    """Sentences, each of one thing; none where there is nothing to say. `left_out`: metrics, and why they are."""
    return [
        *(f"{name} is left out: {reason}." for name, reason in left_out.items()),
        *_without_evaluation(groups, metric),
        *_mixed_records(groups),
        *(
            f"{run.name} has come to {format_size(run.tokens)} of {format_size(group.tokens)} tokens: it is left out."
            for group in groups
            for run in group.behind
        ),
        *_numbers_lost(groups, metric),
        *(
            f"{group.name} ends at {format_size(group.tokens)} tokens, the baseline at {format_size(base.tokens)}: "
            "their final losses are not those of equal tokens."
            for group in groups
            if min(group.tokens, base.tokens) < AS_FAR * max(group.tokens, base.tokens)
        ),
    ]


def _without_evaluation(groups: Sequence[Group], metric: str) -> list[str]:
    if metric.startswith("eval_"):
        return []
    runs = [run for group in groups for run in group.runs]
    without = [run.name for run in runs if not any(name.startswith("eval_") for name in run.metrics)]
    if not without or len(without) == len(runs):
        return []
    return [f"Not evaluated: {', '.join(without)}. So tokens are counted by a training loss."]


def _mixed_records(groups: Sequence[Group]) -> list[str]:
    kinds = {run.is_tracked for group in groups for run in group.runs}
    if len(kinds) == 1:
        return []
    return [
        "Some runs are read from their folders and some from wandb, which records more: what differs is too long. Give "
        "all of them in one form."
    ]


def _numbers_lost(groups: Sequence[Group], metric: str) -> list[str]:
    said = []
    for run in (run for group in groups for run in (*group.runs, *group.behind)):
        if steps := lost(run, metric):
            kind = "that is no number" if len(steps) == 1 else "that are no numbers"
            values = "value" if len(steps) == 1 else "values"
            said.append(
                f"{run.name} logged {len(steps):,} {values} of {metric} {kind}, the first at step {steps[0]:,}: "
                "curves leave such out."
            )
    return said
