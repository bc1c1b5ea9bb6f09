"""The scale that a ladder is drawn to: linear, or logarithmic where thresholds differ by orders of magnitude."""

from collections.abc import Sequence
from math import ceil, floor, log1p, log10
from typing import NamedTuple

KINDS = ("linear", "log")
SPREAD = 10  # times the lowest threshold: from here on there is a choice of scales
WIDE = 100  # and from here on the logarithmic one is the usual
HIGHEST = 2**63 - 1
STEPS = (1, 2, 2.5, 5, 10)
MOST_TICKS = 6
NARROWEST = 0.07  # share between two ticks that have room for their figures
EMPTY = 1_000  # points, where there is no threshold to go by


class Tick(NamedTuple):
    """A mark of the scale."""

    points: int
    share: float


class Scale(NamedTuple):
    """From 0 to `top` points. A logarithmic one is nearly linear up to `unit` points, so that it has a place for 0."""

    kind: str
    top: int
    unit: int

    def share(self, points: float) -> float:
        """Where points are: 0 at the beginning, 1 at the top and above."""
        points = min(max(points, 0), self.top)
        if self.kind == "log":
            return log1p(points / self.unit) / log1p(self.top / self.unit)
        return points / self.top

    @property
    def ticks(self) -> list[Tick]:
        """Round figures, not too many."""
        found = [Tick(0, 0.0)]
        for points in _powers(self) if self.kind == "log" else _multiples(self.top):
            if self.share(points) - found[-1].share >= NARROWEST:
                found.append(Tick(points, self.share(points)))
        return found


def scale_of(thresholds: Sequence[int], kind: str | None = None) -> Scale:
    """Return the scale for thresholds, with room above the highest; of a kind, or of the one that suits them."""
    highest, lowest = max(thresholds, default=0) or EMPTY, min(filter(None, thresholds), default=EMPTY)
    if kind not in KINDS:
        kind = "log" if highest / lowest >= WIDE else "linear"
    room = 2 if kind == "log" else 1.2
    return Scale(kind, min(_round_up(highest * room), HIGHEST), lowest)


def has_choice(thresholds: Sequence[int]) -> bool:
    """Whether thresholds are so far apart that either scale shows what the other hides."""
    positive = [threshold for threshold in thresholds if threshold]
    return bool(positive) and max(positive) / min(positive) >= SPREAD


def _round_up(points: float) -> int:
    """Two leading digits, rounded up."""
    digit = float(10 ** max(floor(log10(points)) - 1, 0))
    return int(ceil(points / digit) * digit)


def _multiples(top: int) -> list[int]:
    magnitude = 10 ** floor(log10(top / MOST_TICKS)) if top > MOST_TICKS else 1
    step = int(next(magnitude * step for step in STEPS if top / (magnitude * step) <= MOST_TICKS)) or 1
    return list(range(0, top + 1, step))


def _powers(scale: Scale) -> list[int]:
    first, last = ceil(log10(scale.unit)), floor(log10(scale.top))
    every = max(ceil((last - first + 1) / MOST_TICKS), 1)
    return [10**power for power in range(first, last + 1, every)]
