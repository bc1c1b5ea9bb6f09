"""Where tiers must be: the rules of migrations/sql/0007_ladders.sql once more, replayed over a participant's whole history.

Written apart from the statements, so that the two check each other. Everything here is pure.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from gamify.models import Ladder, LedgerEntry, TierChange
from gamify.models.tier_hold import KEEP, PIN

Ladders = Mapping[int, Ladder]


class Wrong(NamedTuple):
    """Something stored that does not follow; `seq` is None for the participant's own row."""

    seq: int | None
    what: str
    stored: str
    derived: str


class Row(NamedTuple):
    """What a participant's own row says."""

    tier: int
    ladder_version: int
    is_held: bool


class Settled(NamedTuple):
    """A level, and whether it is more than what is earned."""

    level: int
    is_kept: bool


@dataclass
class Holder:
    """A participant as far as their history has been replayed. Tiers are numbers; 0 and None: none."""

    ladders: Ladders
    number: int = 0
    version: int = 0  # of the ladder that has last had a say
    pinned: int | None = None
    kept: int | None = None
    total: int = 0
    past: list[tuple[datetime, int]] = field(default_factory=list)  # totals since when
    awaits_note: bool = False  # an award has settled what is kept, which the change after it must tell

    def replay(self, entries: Sequence[LedgerEntry], changes: Sequence[TierChange]) -> Iterator[Wrong]:
        """Go through everything in order; yield what does not follow from what was before."""
        waiting = list(changes)
        for entry in entries:
            while waiting and waiting[0].after_seq < entry.seq:
                yield from self._change(waiting.pop(0))
            yield from self._note_is_there()
            yield from self._move(entry)
        for change in waiting:
            yield from self._change(change)

    def end(self, row: Row, holds: Mapping[str, int], newest: Ladder | None) -> Iterator[Wrong]:
        """Compare what all that has led to with the participant's row and what holds them."""
        yield from self._note_is_there()
        if newest:
            self._pass_untold(newest)
        if newest and self.version < newest.version and (newest.is_settled or row.ladder_version == newest.version):
            yield from self._pass(newest, self.past[-1][0] if self.past else newest.created_at)
        stored: dict[str, Any] = {"tier": row.tier, "pin": holds.get(PIN), "tier kept": holds.get(KEEP), "is_held": row.is_held}
        derived = {"tier": self.number, "pin": self.pinned, "tier kept": self.kept, "is_held": bool(self.pinned or self.kept)}
        if newest and not newest.is_settled:
            stored["settled"], derived["settled"] = row.ladder_version == newest.version, self.version == newest.version
        for what, there in stored.items():
            if there != derived[what]:
                yield Wrong(None, what, str(there), str(derived[what]))

    def _change(self, change: TierChange) -> Iterator[Wrong]:
        ladder = self.ladders[change.ladder_version]
        self._pass_untold(ladder)
        if change.number_before != self.number:
            yield Wrong(None, f"tier before it was {change.cause}", str(change.number_before), str(self.number))
        if ladder.version < self.version:
            yield Wrong(None, f"ladder's version when it was {change.cause}", str(ladder.version), str(self.version))
        if change.cause == "published" and self.awaits_note:
            self.awaits_note = False
            if (change.number_after, change.is_kept) != (self.number, self.kept is not None):
                yield Wrong(None, "note of a tier kept", f"{change.number_after}", f"{self.number}")
            return
        if change.cause not in {"published", "registered"} and self.version < ladder.version:
            yield from self._pass(ladder, change.at)
        settled = self._settled_by(change, ladder)
        number = _number(ladder, settled.level)
        if (number, settled.is_kept) != (change.number_after, change.is_kept):
            told = f"{change.number_after}{', kept' * change.is_kept}"
            yield Wrong(None, f"tier when it was {change.cause}", told, f"{number}{', kept' * settled.is_kept}")
        if change.cause == "published" or not settled.is_kept:
            self.kept = number if settled.is_kept else None
        self.number, self.version = change.number_after, ladder.version

    def _settled_by(self, change: TierChange, ladder: Ladder) -> Settled:
        """Where a change must have led, once it has changed what holds the participant."""
        match change.cause:
            case "registered":
                return Settled(_level(ladder, 0), is_kept=False)
            case "pinned":
                self.pinned = change.number_after
            case "unpinned" | "pin_ended":
                self.pinned = None
            case "keep_ended":
                self.kept = None
        return self._settle(ladder, change.at, is_new=change.cause == "published")

    def _note_is_there(self) -> Iterator[Wrong]:
        if self.awaits_note:
            self.awaits_note = False
            yield Wrong(None, "note of a tier kept", "missing", "there")

    def _move(self, entry: LedgerEntry) -> Iterator[Wrong]:
        ladder = self.ladders.get(entry.ladder_version or 0)
        earned_by_it = entry.points if entry.type in {"award", "award_reversal"} else 0
        if ladder is not None:
            self._pass_untold(ladder)
        if ladder is None:
            before, after = 0, 0
        elif entry.seq == 1 and self.version == 0:
            before, after = self._moved(ladder, entry, earned_by_it, before=_level(ladder, 0))
        elif self.version == ladder.version or ladder.effect == "now":
            if self.version != ladder.version:
                yield from self._pass(ladder, entry.created_at)
            before, after = self._moved(ladder, entry, earned_by_it, before=self._floor(ladder, self.number))
        elif not earned_by_it:
            before = after = self._floor(ladder, self.number)  # waits for an award
        else:
            before = self._floor(ladder, self.number)
            was_kept = self.kept is not None
            settled = self._settle(ladder, entry.created_at, is_new=True)
            self.kept = _number(ladder, settled.level) if settled.is_kept else None
            _, after = self._moved(ladder, entry, earned_by_it, before=settled.level)
            self.awaits_note = was_kept != (self.kept is not None)
        self.total += earned_by_it
        self.past.append((entry.created_at, self.total))
        for what, stored, derived in (("tier_before", entry.tier_before, before), ("tier_after", entry.tier_after, after)):
            if stored != derived:
                yield Wrong(entry.seq, what, str(stored), str(derived))

    def _moved(self, ladder: Ladder, entry: LedgerEntry, points: int, *, before: int) -> tuple[int, int]:
        """What a movement leads to for whom the ladder has settled; `before` is the level that they had by it."""
        earned = self._earned(ladder, entry.created_at, total=self.total + points)
        if self.pinned is not None:
            after = self._floor(ladder, self.pinned)
        elif ladder.basis == "lifetime" or entry.type == "award_reversal":
            after = max(earned, self._floor(ladder, self.kept))
        else:
            after = max(earned, before) if entry.type == "award" else before
        if self.kept is not None and self._floor(ladder, self.kept) <= earned:
            self.kept = None
        self.number, self.version = _number(ladder, after), ladder.version
        return before, after

    def _pass_untold(self, newest: Ladder) -> None:
        """Ladders put in force before changes were told, nobody being known to have published them, moved by the total."""
        if not self.past:
            return
        for version in range(newest.version, self.version, -1):
            if (ladder := self.ladders.get(version)) is not None and ladder.published_by is None:
                self.number, self.version = _number(ladder, _level(ladder, self.total)), version
                return

    def _pass(self, ladder: Ladder, at: datetime) -> Iterator[Wrong]:
        """A ladder has come into force and nothing is told of it: so it must have changed nothing, whenever that was."""
        if ladder.basis == "lifetime":
            ways = [self._settle(ladder, when, is_new=True) for when in (at, ladder.created_at)]  # a tier is kept until a time
            led_to = [(_number(ladder, settled.level), settled.is_kept) for settled in ways]
            if (self.number, self.kept is not None) not in led_to:
                number, is_kept = led_to[0]
                told = f"{number}{', kept' * is_kept}"
                yield Wrong(None, f"tier by version {ladder.version} of the ladder", str(self.number), told)
        self.version = ladder.version

    def _settle(self, ladder: Ladder, at: datetime, *, is_new: bool) -> Settled:
        earned, held = self._earned(ladder, at), self._floor(ladder, self.number)
        if self.pinned is not None:
            return Settled(self._floor(ladder, self.pinned), self.kept is not None and not is_new)
        if not is_new:
            kept = self._floor(ladder, self.kept)
            return Settled(max(earned, kept), kept > earned)
        if ladder.falling == "keep" or (ladder.kept_until and at < ladder.kept_until):
            return Settled(max(earned, held), held > earned)
        return Settled(earned, is_kept=False)

    def _earned(self, ladder: Ladder, at: datetime, *, total: int | None = None) -> int:
        return _level(ladder, self._qualifying(ladder, at, self.total if total is None else total))

    def _qualifying(self, ladder: Ladder, at: datetime, total: int) -> int:
        if ladder.basis == "window":
            return max(total - self._before(at - timedelta(days=ladder.window_days or 0)), 0)
        if ladder.basis == "year":
            zone = ZoneInfo(ladder.time_zone)
            local = datetime(at.astimezone(zone).year, 1, 1)  # noqa: DTZ001  # a wall clock's
            year, before = local.replace(tzinfo=zone), self._before(local.replace(tzinfo=zone))
            grace = (local + timedelta(days=ladder.grace_days or 0)).replace(tzinfo=zone)
            last = before - self._before(year.replace(year=year.year - 1)) if at < grace else 0
            return max(total - before, last, 0)
        return total

    def _before(self, at: datetime) -> int:
        n = bisect_left(self.past, at, key=lambda point: point[0])
        return self.past[n - 1][1] if n else 0

    @staticmethod
    def _floor(ladder: Ladder, number: int | None) -> int:
        return ladder.floors[number - 1] if number and number <= len(ladder.floors) else 0


def _level(ladder: Ladder, points: int) -> int:
    return sum(threshold <= points for threshold in ladder.thresholds)


def _number(ladder: Ladder, level: int) -> int:
    return ladder.numbers[level - 1] if level else 0
