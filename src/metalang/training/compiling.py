"""What torch.compile says where it fails, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from metalang.errors import ConfigError
from metalang.text.names import first_line


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
