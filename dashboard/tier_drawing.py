"""A ladder drawn to scale: a bar from no points to the top, in pieces from threshold to threshold."""

from collections.abc import Iterable
from typing import NamedTuple

from dashboard.tier_scale import Scale

WIDTH = 860  # pixels that names are given room by; where a window has fewer, there are no names
LETTER = 7.2  # pixels
GAP = 14  # pixels between two names
LONGEST = 22  # letters
FULL = 100.0  # hundredths


class Mark(NamedTuple):
    """A tier to be drawn: `key` tells it from the others, `was` is its threshold on the ladder in force."""

    key: str
    name: str
    tone: str
    threshold: int
    was: int | None = None


class Piece(NamedTuple):
    """A tier as it is drawn, in hundredths of the width."""

    mark: Mark
    begin: float
    width: float
    label: str  # empty where there is no room for it
    line: int  # of names, that it stands on: 0 is the one next to the bar
    is_at_end: bool  # the label is to the left of the threshold
    was: float | None  # where the threshold is on the ladder in force, if elsewhere


class Drawing(NamedTuple):
    """What the template draws."""

    scale: Scale
    pieces: list[Piece]
    position: dict[str, int]  # of each tier's handle, by its key: 0 to 1000

    @property
    def is_tall(self) -> bool:
        """Whether names stand on two lines."""
        return any(piece.line for piece in self.pieces)


def draw(marks: Iterable[Mark], scale: Scale) -> Drawing:
    """Return the drawing of tiers, in any order."""
    ordered = sorted(marks, key=lambda mark: mark.threshold)
    begins = [FULL * scale.share(mark.threshold) for mark in ordered]
    pieces, free = [], [0.0, 0.0]  # from where on there is room for a name, on each line
    for mark, begin, end in zip(ordered, begins, [*begins[1:], FULL], strict=False):
        label = mark.name if len(mark.name) <= LONGEST else f"{mark.name[: LONGEST - 1].rstrip()}…"
        width = FULL * (len(label) * LETTER + GAP) / WIDTH
        is_at_end = begin + width > FULL
        left = begin - width if is_at_end else begin
        line = next((line for line, taken in enumerate(free) if taken <= left), None)
        if line is not None:
            free[line] = left + width
        label = "" if line is None else label
        pieces.append(Piece(mark, begin, max(end - begin, 0), label, line or 0, is_at_end, _was(mark, scale)))
    return Drawing(scale, pieces, {mark.key: round(1000 * scale.share(mark.threshold)) for mark in ordered})


def _was(mark: Mark, scale: Scale) -> float | None:
    return None if mark.was is None or mark.was == mark.threshold else FULL * scale.share(mark.was)
