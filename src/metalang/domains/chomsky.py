"""What the fifteen tasks of the Chomsky hierarchy share.

Delétang et al. 2022, "Neural Networks and the Chomsky Hierarchy", arXiv 2207.02098, and their generators. Code c of the
paper is symbol NUM_CONTROL + c. They train on x of 1 to 40 symbols, which `sequence_length` restates for whole rows
`x SEP y EOS`; SEP and EOS stand for their padding and termination symbols, and an empty y is written EMPTY.
"""

from abc import abstractmethod
from collections.abc import Sequence

from pydantic import model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.rows import Kernel, request_for, written
from metalang.ids import NUM_CONTROL
from metalang.specs import Range


class ChomskyTask(Mapping):
    """y = f(x) over a fixed alphabet. `sequence_length`: symbols of a whole row; |x| is uniform over `sizes`."""

    sequence_length: Range

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return 2

    @property
    def output_codes(self) -> int:
        """Number of the symbols that y is made of."""
        return 2

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y| where |x| is `size`; neither falls as |x| grows."""
        return 1, 1

    def shapes(self) -> range:
        """The lengths that x can have at all."""
        return range(1, self.sequence_length.max)

    @property
    @abstractmethod
    def kernel(self) -> Kernel:
        """Writes the rows of a request; its arguments are `arguments`, the request, then those of `Kernel`."""

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return ()

    @property
    def sizes(self) -> range:
        """The lengths of x whose every row lies within `sequence_length`."""
        low, high, shapes = self.sequence_length.min, self.sequence_length.max, self.shapes()
        fitting = [size for size in shapes if low <= self._row_length(size)[0] and self._row_length(size)[1] <= high]
        return range(fitting[0], fitting[-1] + 1, shapes.step) if fitting else range(0)

    @model_validator(mode="after")
    def _has_rows(self):
        if not self.sizes:
            low, high = self.sequence_length.min, self.sequence_length.max
            shortest, longest = self._row_length(40 - 40 % self.shapes().step + self.shapes().step - 1)
            raise ValueError(
                f"sequence_length {low} to {high} holds no length of x whose every row `x SEP y` is within it; "
                f"{self.type} of about 40 symbols has rows of {shortest} to {longest}"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + max(self.source_codes, self.output_codes)

    @property
    def content(self) -> range:
        """The symbols that x is made of."""
        return content_range(self.source_codes)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        low, high = self.sizes[0] // self.sizes.step, self.sizes[-1] // self.sizes.step
        request = request_for(self, key, start, low, high)
        longest_row = self._row_length(self.sizes[-1])[1]
        return written(
            self.kernel, *self.arguments, request, count=count, longest_row=longest_row, num_symbols=self.num_symbols
        )

    def _row_length(self, size: int) -> tuple[int, int]:
        fewest, most = self.output_length(size)
        return size + 1 + fewest + self.eos, size + 1 + most + self.eos


def codes_of(source: Sequence[int]) -> list[int]:
    """The codes of the paper that symbols stand for.

    >>> codes_of([32, 37])
    [0, 5]
    """
    return [symbol - NUM_CONTROL for symbol in source]


def symbols_of(codes: Sequence[int]) -> list[int]:
    """The symbols that stand for codes of the paper.

    >>> symbols_of([0, 5])
    [32, 37]
    """
    return [code + NUM_CONTROL for code in codes]
