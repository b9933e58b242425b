"""What a model says in the middle of its training: texts continued, rows of functions answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from metalang.domains.drawing import drawn_row
from metalang.errors import ConfigError
from metalang.ids import Control
from metalang.seeds import key_for
from metalang.text.tokenizer import TextTokenizer
from metalang.training.evaluation.answers import Answer
from metalang.training.flags import SampleArguments

_ANSWERS_A_SOURCE = 2


@dataclass(frozen=True)
class Sample:
    """`source` is "text", or a source of a function with its `expected` answer (None: there is no right one)."""

    step: int
    source: str
    prompt: str
    text: str
    expected: str | None = None

    def record(self) -> dict[str, Any]:
        """JSON of it."""
        return asdict(self)

    def line(self) -> str:
        """It in a line, what the model said in ⟦ ⟧.

        >>> Sample(20, "text", "The", " end").line()
        'step 20 | text | The⟦ end⟧'
        >>> Sample(20, "identity", "4 SEP", "3 EOS", "4 EOS").line()
        'step 20 | identity | 4 SEP ⟦3 EOS⟧ should be 4 EOS'
        """
        if self.expected is None:
            said = f"{self.prompt}⟦{self.text}⟧"
        elif self.text == self.expected:
            said = f"{self.prompt} ⟦{self.text}⟧ is right"
        else:
            said = f"{self.prompt} ⟦{self.text}⟧ should be {self.expected}"
        return f"step {self.step:,} | {self.source} | {said}".replace("\n", "\\n")


class Sampler:
    """Continues the texts of --sample_prompts, and answers two rows of each source of functions.

    Raises ConfigError for a prompt that leaves no room for --sample_tokens in a window.
    """

    def __init__(
        self,
        flags: SampleArguments,
        tokenizer: TextTokenizer,
        answers: dict[str, list[Answer]],
        *,
        seed: int,
        max_length: int,
        behind_eos: bool,
    ) -> None:
        self._flags = flags
        self._tokenizer = tokenizer
        self._answers = {name: rows[-_ANSWERS_A_SOURCE:] for name, rows in answers.items()}  # the shortest
        self._seed = seed
        self._start = [tokenizer.eos_id] if behind_eos else []
        self._prompts = {text: [*self._start, *tokenizer.encode([text])[0].tolist()] for text in flags.sample_prompts}
        for text, ids in self._prompts.items():
            if len(ids) + flags.sample_tokens > max_length:
                raise ConfigError(
                    f"--sample_prompts {text!r} has {len(ids)} tokens, which with --sample_tokens "
                    f"{flags.sample_tokens} are more than --max_length {max_length}; shorten the one or the other"
                )

    @torch.compiler.set_stance("force_eager")
    def samples(self, model: PreTrainedModel, step: int) -> list[Sample]:
        """What the model says now. No random stream of the training moves; under ZeRO-3 all ranks call it."""
        said = []
        with _aside(model, int(key_for("samples", self._seed, step))):
            for text, prompt in self._prompts.items():
                ids = self._continued(model, prompt, self._flags.sample_tokens, self._flags.sample_temperature)
                said.append(Sample(step, "text", text, self._tokenizer.decode(ids)))
            for name, answers in self._answers.items():
                said += [self._answered(model, name, answer, step) for answer in answers]
        return said

    def _answered(self, model: PreTrainedModel, name: str, answer: Answer, step: int) -> Sample:
        space = self._tokenizer.id_space
        prompt = self._start + space.of_symbols(answer.symbols[: answer.begin]).tolist()
        ids = self._continued(model, prompt, answer.end - answer.begin, 0.0)
        return Sample(step, name, answer.question, " ".join(map(self._drawn, ids)), answer.text)

    def _drawn(self, number: int) -> str:
        """An id as rows show symbols; one of text as that text in quotes."""
        ids = self._tokenizer.id_space
        if number == ids.eos_id:
            return Control.EOS.name
        if not ids.text_size <= number < ids.vocab_size:
            return repr(self._tokenizer.decode([number]))
        return drawn_row(np.array([number - ids.text_size]), np.array([False]))

    @torch.no_grad()
    def _continued(self, model: PreTrainedModel, prompt: list[int], count: int, temperature: float) -> list[int]:
        """The ids behind a prompt, up to `count`, the first EOS the last."""
        given = torch.tensor([prompt], device=model.device)
        how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        ids = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=count, use_cache=True, **how
        )  # fmt: skip
        return ids[0, len(prompt) :].tolist()


@contextmanager
def _aside(model: PreTrainedModel, seed: int) -> Iterator[None]:
    """Lets a model generate by a random stream of its own, and leaves model and streams as they were."""
    was_training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)
