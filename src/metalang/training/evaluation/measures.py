"""What is measured on each source of an evaluation, under the names by which runs log it."""

import logging
import math
from dataclasses import dataclass, field

from transformers import Trainer

from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.specs import nearest
from metalang.training.config import Settings
from metalang.training.evaluation.answers import Answer, answers_of, exact_match, has_mappings
from metalang.training.evaluation.of_pairs import answers_of_pairs, num_target_bytes
from metalang.training.evaluation.text_bytes import is_text, num_text_bytes
from metalang.training.feed import Feed
from metalang.training.model import pad_id_of
from metalang.training.ranks import agreed

logger = logging.getLogger(__name__)

_OF_LOSS = ("loss", "perplexity", "tokens")


@dataclass(frozen=True)
class Measures:
    """What is known of the sources of an evaluation, by their names.

    `text_bytes`: UTF-8 bytes of those that are text; `answers`: rows of those of mapping domains. `behind_eos`: see
    `answer_batch`; `start_id`: see `exact_match`.
    """

    ids: IdSpace
    behind_eos: bool = True
    text_bytes: dict[str, int] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    start_id: int | None = None

    def add_to(self, metrics: dict[str, float], trainer: Trainer, prefix: str) -> None:
        """Adds the measures of a source to those of its loss, all of which begin with `prefix`. All ranks call it."""
        name = prefix.removeprefix("eval_")
        if num_bytes := self.text_bytes.get(name):
            bits = metrics[f"{prefix}_loss"] * metrics[f"{prefix}_tokens"] / math.log(2)
            metrics[f"{prefix}_bits_per_byte"] = bits / num_bytes
        if answers := self.answers.get(name):
            metrics[f"{prefix}_exact_match"] = exact_match(
                trainer, answers, self.ids, behind_eos=self.behind_eos, start_id=self.start_id
            )


def measures_of(data: Feed, settings: Settings) -> Measures:
    """The measures of the sources that a run is evaluated on. Rank 0 decodes their texts, the others wait.

    A source of mapping rows that are all longer than a window has no exact match, and the log says so. Of pairs the
    bytes are those of what is said. Conversations, and masked diffusion, have none of either.
    """
    ids = data.tokenizer.id_space
    if settings.model.architecture == "seq2seq":
        return _of_pairs(data, settings)
    if settings.data.phase != "pretrain" or settings.model.architecture != "causal":
        return Measures(ids)
    corpora = {name: dataset.corpus for name, dataset in data.evaluation.items()}
    texts = {name: each for name, each in corpora.items() if is_text(each)}
    text_bytes = agreed(lambda: {name: num_text_bytes(each, data.tokenizer) for name, each in texts.items()})
    count, behind_eos = settings.evaluation.exact_match_rows, settings.data.document_boundaries == "ignore"
    longest = settings.data.max_length + 1 - behind_eos
    answers = {name: answers_of(each, count=count, longest=longest) for name, each in corpora.items()}
    for name, each in corpora.items():
        if count and has_mappings(each) and not answers[name]:
            logger.warning(
                "%s has no exact match: all rows that were looked at are longer than %d symbols", name, longest
            )
    return Measures(ids, behind_eos, text_bytes, {name: rows for name, rows in answers.items() if rows})


def _of_pairs(data: Feed, settings: Settings) -> Measures:
    count, length, tokenizer = settings.evaluation.exact_match_rows, settings.data.max_length, data.tokenizer
    sources = {name: dataset.pairs for name, dataset in data.evaluation.items()}
    text_bytes = agreed(lambda: {name: num_target_bytes(each, tokenizer) for name, each in sources.items()})
    answers = {
        name: answers_of_pairs(name, each, count=count, max_length=length) for name, each in sources.items()
    }  # fmt: skip
    return Measures(
        tokenizer.id_space,
        text_bytes={name: found for name, found in text_bytes.items() if found},
        answers={name: rows for name, rows in answers.items() if rows},
        start_id=pad_id_of(tokenizer),
    )


def overall(metrics: dict[str, float], names: list[str]) -> dict[str, float]:
    """`eval_loss`, `eval_perplexity` and `eval_tokens` of all sources together, each token counting alike.

    >>> of_two = {"eval_a_loss": 1.0, "eval_a_tokens": 30, "eval_b_loss": 2.0, "eval_b_tokens": 10}
    >>> overall(of_two, ["a", "b"])["eval_loss"]
    1.25
    """
    tokens = {name: int(metrics[f"eval_{name}_tokens"]) for name in names}
    total = sum(metrics[f"eval_{name}_loss"] * count for name, count in tokens.items() if count)
    return {f"eval_{key}": value for key, value in of_loss(total, sum(tokens.values())).items()}


def of_loss(total: float, count: int) -> dict[str, float]:
    """Loss and perplexity of a token from the summed loss (nats) of `count` tokens; NaN where there is none.

    >>> of_loss(6.0, 2)
    {'loss': 3.0, 'perplexity': 20.085536923187668, 'tokens': 2}
    """
    mean = total / count if count else math.nan
    return {"loss": mean, "perplexity": math.inf if mean >= 700 else math.exp(mean), "tokens": count}


def metric_names(data: Feed, measures: Measures) -> list[str]:
    """The names that --metric_for_best_model may have: those of all sources together, then those of each."""
    of_sources = [f"{name}_{key}" for name in data.evaluation for key in _OF_LOSS]
    bits = [f"{name}_bits_per_byte" for name in measures.text_bytes]
    return [*_OF_LOSS, *of_sources, *bits, *(f"{name}_exact_match" for name in measures.answers)]


def require_known_metric(metric: str | None, names: list[str]) -> None:
    """Raises ConfigError for a --metric_for_best_model that no evaluation of the run will give."""
    if metric is not None and metric.removeprefix("eval_") not in names:
        raise ConfigError(
            f"--metric_for_best_model {metric} is nothing that this run evaluates; "
            f"{nearest(metric.removeprefix('eval_'), names)}"
        )
