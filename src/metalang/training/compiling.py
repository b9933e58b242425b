"""torch.compile: what --torch_compile may be asked for, and what it says where it fails, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.utils import DynamoBackend
from transformers import TrainingArguments

from metalang.errors import ConfigError
from metalang.specs import nearest
from metalang.text.names import first_line


def prepare_compiler(run: TrainingArguments) -> None:
    """Has compiled code of a CPU give equal runs; nothing without --torch_compile.

    Raises ConfigError for a backend or a mode that torch's compiler, or accelerate, does not know.
    """
    if not run.torch_compile:
        return
    _check_names(run)
    if run.device.type == "cpu":
        _leave_trigonometry_to_pytorch()


def _leave_trigonometry_to_pytorch() -> None:
    """torch 2.13 puts cosines of rotary positions into loops of 16 lanes, with garbage of the stack in masked ones.

    Sleef's cosine takes another way for all lanes where one is large, so that the last bit of the others is chance.
    Graphs compiled without this are in the compiler's cache under other keys.
    """
    from torch._inductor.lowering import make_fallback

    for function in (torch.ops.aten.cos, torch.ops.aten.sin):
        make_fallback(function, warn=False)
    torch.compiler.config.cache_key_tag = "metalang: sines and cosines of PyTorch"


def _check_names(run: TrainingArguments) -> None:
    from torch._inductor import list_mode_options  # a second

    both = set(torch.compiler.list_backends(exclude_tags=())) & {each.value.lower() for each in DynamoBackend}
    for flag, name, known in (
        ("torch_compile_backend", run.torch_compile_backend, both),
        ("torch_compile_mode", run.torch_compile_mode, set(list_mode_options())),
    ):
        if name is not None and name not in known:
            raise ConfigError(f"--{flag} {name} is none of the compiler's; {nearest(name, sorted(known))}")


@contextmanager
def told_of_compiler() -> Iterator[None]:
    """Raises ConfigError for what torch's compiler does not compile: no C++ compiler, or code of its own that is wrong.

    >>> with told_of_compiler():
    ...     raise RuntimeError("nothing of a compiler")
    Traceback (most recent call last):
    RuntimeError: nothing of a compiler
    """
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        # torch 2.13 writes C++ for a CPU in bfloat16 that g++ refuses ("conflicting declaration").
        raise ConfigError(
            f"--torch_compile True fails here ({first_line(error).rstrip('.')}); leave it out, or, without a GPU, "
            "leave out --bf16"
        ) from None
