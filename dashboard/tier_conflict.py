"""Two versions of a draft, tier by tier: what somebody has typed, and what somebody else has saved meanwhile."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gamify.services.drafts import Content, Rung
from gamify.services.tiers import Qualification

THEIRS = "theirs"
QUALIFICATION = "qualification"  # as a choice; no code can be mistaken for it, as those have a prefix


class Pair(NamedTuple):
    """A tier in both versions; None where one has not got it."""

    code: str
    mine: Rung | None
    theirs: Rung | None

    @property
    def choice(self) -> str:
        """The name of the field that chooses between the two."""
        return f"tier-{self.code}"

    @property
    def differs(self) -> bool:
        """Whether there is anything to choose."""
        return self.mine != self.theirs

    def title(self) -> str:
        """What the tier is called."""
        rung = self.mine or self.theirs
        return (rung.name or rung.code or "A new tier") if rung else ""


def pairs(mine: Content, theirs: Content) -> Iterator[Pair]:
    """Every tier that either has, the highest first."""
    ours, others = ({rung.code: rung for rung in content.rungs} for content in (mine, theirs))
    found = [Pair(code, ours.get(code), others.get(code)) for code in {**ours, **others}]
    return iter(sorted(found, key=lambda pair: -((pair.mine or pair.theirs or Rung("", "", 0)).threshold or 0)))


def merge(mine: Content, theirs: Content, chosen: Callable[[str], str | None]) -> Content:
    """Return one content of two; `chosen` tells of each field whether it says `theirs`."""
    rungs = [pair.theirs if chosen(pair.choice) == THEIRS else pair.mine for pair in pairs(mine, theirs)]
    qualification: Qualification = theirs.qualification if chosen(QUALIFICATION) == THEIRS else mine.qualification
    return Content(tuple(rung for rung in reversed(rungs) if rung), qualification)
