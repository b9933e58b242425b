"""Rows of mapping domains as questions with the oracle's answers, and how many of them a model answers exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import Trainer, default_data_collator

from metalang.building.dataset import Dataset
from metalang.corpus import Corpus
from metalang.domains import Sequences
from metalang.domains.contract import Mapping
from metalang.domains.drawing import drawn_row
from metalang.domains.marks import Marks
from metalang.ids import Control, IdSpace
from metalang.mixing.permutation import permuted
from metalang.seeds import key_for
from metalang.specs import as_spec
from metalang.training.objectives.cross_entropy import IGNORED
from metalang.training.phases.collators import shifted_rows
from metalang.training.seq2seq.batches import padded
from metalang.training.seq2seq.pairs import Pair

_LOOKED_AT = 16  # documents for each row that is asked for: of the others, some are too long or of no mapping


@dataclass(frozen=True)
class Answer:
    """A row of symbols, (n,) int64, that a domain's oracle completed: those in [begin, end) are the answer."""

    symbols: np.ndarray
    begin: int
    end: int

    @property
    def question(self) -> str:
        """What the model is given, as text."""
        return drawn_row(self.symbols[: self.begin], np.zeros(self.begin, dtype=bool))

    @property
    def text(self) -> str:
        """What the model should say."""
        return drawn_row(self.symbols[self.begin : self.end], np.zeros(self.end - self.begin, dtype=bool))


def answers_of(corpus: Corpus, *, count: int, longest: int) -> list[Answer]:
    """Up to `count` rows of the mapping domains of a corpus, of at most `longest` symbols, the longest first.

    They are drawn by the content of the corpus alone. Empty for a corpus of anything else, and for a control of a
    dataset (shuffled, iid), whose rows obey no function.
    """
    mappings = _mappings(corpus)
    if not mappings:
        return []
    size = corpus.manifest.num_documents
    places = np.arange(min(size, count * _LOOKED_AT))
    key = np.uint64(key_for("answers", corpus.manifest.content_hash))
    found: list[Answer] = []
    for number in permuted(places, size, key).tolist():
        if len(found) == count:
            break
        symbols, predicted, row = corpus.document(number)
        if len(symbols) <= longest and int(row["source"]) in mappings:
            found.append(_answer(*mappings[int(row["source"])], symbols, predicted))
    return sorted(found, key=lambda answer: -len(answer.symbols))


def has_mappings(corpus: Corpus) -> bool:
    """Whether rows of a corpus are those of a function from strings to strings."""
    return bool(_mappings(corpus))


def answer_batch(answers: Sequence[Answer], ids: IdSpace, *, behind_eos: bool) -> dict[str, torch.Tensor]:
    """`input_ids` and `labels` (n, L), padded on the right; labels are the answers' ids where they are predicted.

    `behind_eos`: EOS stands before each row, as it does in windows that are read as one text.
    """
    rows = []
    for answer in answers:
        own = torch.tensor([ids.eos_id] * behind_eos + ids.of_symbols(answer.symbols).tolist())
        places = torch.arange(1, len(own)) - int(behind_eos)
        rows.append((own[:-1], own[1:], (places >= answer.begin) & (places < answer.end)))
    columns = shifted_rows(rows)
    return {name: torch.stack([row[name] for row in columns]) for name in ("input_ids", "labels")}


def pair_batch(answers: Sequence[Answer], ids: IdSpace, *, start_id: int) -> dict[str, torch.Tensor]:
    """What an encoder-decoder reads of answers, and `labels` (n, L): as `seq2seq` trains on them."""
    pairs = []
    for answer in answers:
        own = ids.of_symbols(answer.symbols)
        places = np.arange(answer.begin, len(own))
        pairs.append(Pair(np.append(own[: answer.begin], ids.eos_id), own[answer.begin :], places < answer.end))
    return default_data_collator(padded(pairs, start_id))


@torch.no_grad()
def exact_match(
    trainer: Trainer, answers: Sequence[Answer], ids: IdSpace, *, behind_eos: bool, start_id: int | None = None
) -> float:
    """The share of answers that greedy decoding gives, to the last symbol. All ranks call it, each with a part.

    Nothing is decoded: greedy decoding gives an answer exactly where the answer's every id is the likeliest behind the
    ids before it (by induction over them), so one pass over question and answer tells. `start_id`: what starts a
    decoder's answer, None for a causal model.
    """
    size, right = trainer.args.per_device_eval_batch_size, torch.zeros((), device=trainer.args.device)
    for first in range(0, len(answers), size * trainer.args.world_size):
        begin = first + size * trainer.args.process_index
        own = answers[begin : begin + size]
        asked = own or answers[:1]
        if start_id is None:
            batch = answer_batch(asked, ids, behind_eos=behind_eos)
        else:
            batch = pair_batch(asked, ids, start_id=start_id)
        inputs = {name: values.to(right.device) for name, values in batch.items()}
        labels = inputs.pop("labels")
        with trainer.compute_loss_context_manager():
            likeliest = trainer.model(**inputs).logits.argmax(dim=-1)
        right += ((likeliest == labels) | (labels == IGNORED)).all(dim=1)[: len(own)].sum()
    return float(trainer.accelerator.reduce(right, reduction="sum")) / len(answers)


def _mappings(corpus: Corpus) -> dict[int, tuple[Mapping, Marks]]:
    """The mapping domains of a corpus, and the marks of their rows, by their numbers among its sources."""
    spec = corpus.manifest.spec
    if spec["kind"] != "synthetic":
        return {}
    dataset = as_spec(Dataset, spec["dataset"], str(corpus.folder))
    if dataset.control != "none":
        return {}
    pairs = zip(dataset.domains, dataset.marks, strict=True)
    return {
        number: (part.domain, marks) for number, (part, marks) in enumerate(pairs) if isinstance(part.domain, Mapping)
    }


def _answer(domain: Mapping, marks: Marks, symbols: np.ndarray, predicted: np.ndarray) -> Answer:
    plain, _ = marks.off(symbols, predicted)
    separator = plain.tolist().index(Control.SEP)
    row = [*plain[: separator + 1].tolist(), *domain.solve(plain[:separator].tolist()), *[Control.EOS] * domain.eos]
    last = len(row) - (domain.eos and domain.mask == "output_no_eos")
    is_answer = np.array([separator < place < last for place in range(len(row))])
    marked = marks.on(Sequences(np.array(row, dtype=np.int64), np.array([len(row)]), is_answer))
    (places,) = np.nonzero(marked.predicted)
    return Answer(marked.symbols, int(places[0]), int(places[-1]) + 1)
