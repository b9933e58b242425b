"""How many windows each step of a run reads: one number, unless a run was resumed with another global batch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepSizes:
    """Steps of `now` windows each, behind `earlier` ones: (steps, windows of each) in turn, from the first step on."""

    now: int
    earlier: tuple[tuple[int, int], ...] = ()

    def before(self, step: int) -> int:
        """Windows that the first `step` steps read: the place in the run at which the next one begins.

        >>> StepSizes(4, ((3, 8),)).before(5)
        32
        """
        windows, left = 0, step
        for steps, size in self.earlier:
            taken = min(steps, left)
            windows, left = windows + taken * size, left - taken
        return windows + left * self.now

    @property
    def ahead(self) -> int:
        """Windows that were read before the present size, more than steps of that size would have; may be negative.

        >>> StepSizes(4, ((3, 8),)).ahead, StepSizes(8).ahead
        (12, 0)
        """
        steps = sum(steps for steps, _ in self.earlier)
        return self.before(steps) - steps * self.now

    def resized(self, step: int, now: int) -> "StepSizes":
        """The sizes of a run that goes on behind `step` with steps of `now` windows.

        >>> StepSizes(8).resized(3, 4), StepSizes(4, ((3, 8),)).resized(5, 2), StepSizes(8).resized(3, 8)
        (StepSizes(now=4, earlier=((3, 8),)), StepSizes(now=2, earlier=((3, 8), (2, 4))), StepSizes(now=8, earlier=()))
        """
        if now == self.now:
            return self
        steps = step - sum(steps for steps, _ in self.earlier)
        return StepSizes(now, (*self.earlier, (steps, self.now)))

    def record(self) -> list[list[int]]:
        """JSON: (steps, windows of each), the last with null steps, as they have no end yet.

        >>> StepSizes(4, ((3, 8),)).record()
        [[3, 8], [None, 4]]
        """
        return [*map(list, self.earlier), [None, self.now]]


def read_step_sizes(record: list[list[int]]) -> StepSizes:
    """What `record` wrote.

    >>> read_step_sizes([[3, 8], [None, 4]])
    StepSizes(now=4, earlier=((3, 8),))
    """
    return StepSizes(record[-1][1], tuple((steps, size) for steps, size in record[:-1]))
