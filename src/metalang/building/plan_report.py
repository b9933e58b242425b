"""What a plan says, for people and for programs."""

from typing import Any

from metalang.mixing import Plan
from metalang.sizes import counted_shortly
from metalang.tables import table


def plan_value(plan: Plan, num_windows: int) -> dict[str, Any]:
    """JSON of a plan: for each stage its windows, and of each source its share, tokens, predicted tokens and epochs.

    Predicted tokens are those of the source times the share of its tokens that are predicted.
    """
    predicted = {source.name: _predicted_share(source) for source in plan.sources}
    stages = [
        {
            "name": stage.name,
            "first_window": begin,
            "last_window": end - 1,
            "tokens": (end - begin) * plan.length,
            "sources": [
                {
                    "name": use.name,
                    "share": use.share,
                    "windows": use.num_windows,
                    "tokens": use.num_tokens,
                    "predicted": round(use.num_tokens * predicted[use.name]),
                    "epochs": use.epochs,
                }
                for use in uses
            ],
        }
        for stage, begin, end, uses in plan.usage_by_stage(num_windows)
    ]
    return {
        "fingerprint": plan.fingerprint,
        "windows": num_windows,
        "window_length": plan.length,
        "tokens": num_windows * plan.length,
        "seed": plan.seed,
        "sources": {
            source.name: {"origin": source.origin, "tokens": source.num_tokens, "content": source.content_hash}
            for source in plan.sources
        },
        "stages": stages,
    }


def describe_plan(plan: Plan, num_windows: int) -> str:
    """The same as a table: a line a source of each stage."""
    value = plan_value(plan, num_windows)
    rows = [["stage", "source", "share", "windows", "tokens", "predicted", "epochs by its end"]]
    for number, stage in enumerate(value["stages"], start=1):
        windows = f"windows {stage['first_window']:,} to {stage['last_window']:,}"
        rows.append([f"{number} {stage['name']}".strip(), windows, "", "", f"{stage['tokens']:,}", "", ""])
        for use in stage["sources"]:
            rows.append([
                "", use["name"], f"{use['share']:.2%}", f"{use['windows']:,}", f"{use['tokens']:,}",
                f"{use['predicted']:,}", f"{use['epochs']:.3f}",
            ])  # fmt: skip
    total = value["tokens"]
    head = (
        f"plan {value['fingerprint']}: {num_windows:,} windows of {plan.length:,} = {counted_shortly(total, 'token')}, "
        f"seed {plan.seed}"
    )
    held = [
        f"{source.name}: {source.origin}"
        + (f", {source.num_tokens:,} tokens" if source.num_tokens is not None else ", streamed")
        for source in plan.sources
    ]
    return "\n".join([head, table(rows), *held])


def _predicted_share(source: Any) -> float:
    """The share of a source's tokens that are predicted; all of a stream's."""
    corpus = getattr(source, "corpus", None)
    return 1.0 if corpus is None else corpus.manifest.num_predicted / corpus.manifest.num_tokens
