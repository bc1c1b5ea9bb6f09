"""What tiers must be, told as simply as can be: by codes, with no ledger, for the machine that compares it with what SQL did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
Upgrade = tuple[str | None, str]  # from which code to which


@dataclass
class Rules:
    """A ladder as it was published."""

    thresholds: Mapping[str, int]
    effect: str = "now"
    falling: str = "move_down"
    kept_until: datetime = FOREVER
    basis: str = "lifetime"
    days: int = 0  # of the window, or of grace
    is_settled: bool = False

    def level(self, points: int) -> int:
        """How many tiers points reach."""
        return sum(least <= points for least in self.thresholds.values())

    @property
    def codes(self) -> list[str]:
        """The lowest first."""
        return sorted(self.thresholds, key=lambda code: self.thresholds[code])


@dataclass
class Person:
    """Somebody's past, and what they hold."""

    earned: list[tuple[datetime, int]] = field(default_factory=list)
    tier: str | None = None
    settled_by: int = -1
    pin: tuple[str, datetime] | None = None
    keep: tuple[str, datetime] | None = None

    def points(self, rules: Rules, now: datetime) -> int:
        """The points that count."""
        if rules.basis == "window":
            return self._since(now - timedelta(days=rules.days))
        if rules.basis == "year":
            this_year = datetime(now.year, 1, 1, tzinfo=UTC)
            last = self._since(this_year.replace(year=now.year - 1)) - self._all_since(this_year)
            in_grace = now < this_year + timedelta(days=rules.days)
            return max(self._since(this_year), last if in_grace else 0)
        return self._since(datetime.min.replace(tzinfo=UTC))

    def _since(self, at: datetime) -> int:
        return max(self._all_since(at), 0)

    def _all_since(self, at: datetime) -> int:
        return sum(points for when, points in self.earned if when >= at)


class Model:
    """A tenant's ladders and people."""

    def __init__(self, thresholds: Mapping[str, int]) -> None:
        self.ladders = [Rules(thresholds, is_settled=True)]
        self.people: dict[str, Person] = {}

    @property
    def newest(self) -> Rules:
        """The ladder in force."""
        return self.ladders[-1]

    def level(self, code: str | None) -> int:
        """On the ladder in force, the level of whoever holds a tier, gone though it may be."""
        if code is None or code in self.newest.codes:
            return self.newest.codes.index(code) + 1 if code else 0
        last = next(rules for rules in reversed(self.ladders) if code in rules.codes)
        lower = last.codes[: last.codes.index(code)]
        return max((self.level(each) for each in lower if each in self.newest.codes), default=0)

    def code(self, level: int) -> str | None:
        """Which tier is on a level."""
        return self.newest.codes[level - 1] if level else None

    def is_settled(self, person: Person) -> bool:
        """Whether the ladder in force has had its say."""
        return self.newest.is_settled or person.settled_by == len(self.ladders)

    def settle(self, person: Person, now: datetime) -> None:
        """Let the ladder in force decide, from what is held by now."""
        person.settled_by = len(self.ladders)
        earned, held = self.newest.level(person.points(self.newest, now)), self.level(person.tier)
        until = self.newest.kept_until if self.newest.falling == "keep_until" else FOREVER
        spares = self.newest.falling == "keep" or (self.newest.falling == "keep_until" and now < until)
        person.keep = None
        if person.pin:
            person.tier = self.code(self.level(person.pin[0]))
        elif spares and held > earned:
            person.tier = self.code(held)
            person.keep = (str(person.tier), until)
        else:
            person.tier = self.code(earned)

    def look_anew(self, person: Person, now: datetime) -> None:
        """Put somebody where they belong by now, settled as they are."""
        earned = self.newest.level(person.points(self.newest, now))
        if person.keep and self.level(person.keep[0]) <= earned and not person.pin:
            person.keep = None
        best = max(earned, self.level(person.keep[0]) if person.keep else 0)
        person.tier = self.code(self.level(person.pin[0]) if person.pin else best)

    def earn(self, who: str, points: int, now: datetime) -> Upgrade | None:
        """An award, or the reversal of one; return the upgrade that an award must report."""
        is_new = who not in self.people
        person = self.people.setdefault(who, Person(settled_by=len(self.ladders)))
        if is_new:
            person.tier = self.code(self.newest.level(0))
        before = self.level(person.tier)
        if not self.is_settled(person):
            self.settle(person, now)
            before = self.level(person.tier) if self.newest.effect == "now" else before
        least = self.level(person.tier) if self.newest.basis != "lifetime" and points > 0 and not person.pin else 0
        person.earned.append((now, points))
        self.look_anew(person, now)
        if person.keep and self.level(person.keep[0]) <= self.newest.level(person.points(self.newest, now)):
            person.keep = None
        after = max(self.level(person.tier), least)  # what has run out is taken only when everybody is looked at anew
        person.tier = self.code(after)
        return (self.code(before), str(person.tier)) if after > before and points > 0 else None

    def spend(self, who: str, now: datetime) -> None:
        """A deduct, or the reversal of one."""
        person = self.people[who]
        if not self.is_settled(person) and self.newest.effect == "now":
            self.settle(person, now)
        elif not self.is_settled(person):
            return
        if person.keep and self.level(person.keep[0]) <= self.newest.level(person.points(self.newest, now)):
            person.keep = None

    def change_hold(self, who: str, now: datetime, change: Callable[[Person], bool]) -> None:
        """Pin, unpin or end something: the ladder in force decides first."""
        person = self.people[who]
        if not self.is_settled(person):
            self.settle(person, now)
        if change(person):
            self.look_anew(person, now)


def end_what_is_due(person: Person, now: datetime) -> bool:
    """Drop holds whose time is over; return whether there was one."""
    had = (person.pin, person.keep)
    person.pin = None if person.pin and person.pin[1] <= now else person.pin
    person.keep = None if person.keep and person.keep[1] <= now else person.keep
    return had != (person.pin, person.keep)
