"""What the address of the ledger page asks for: a filter, as typed and in words, with what is wrong next to each field."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from gamify.errors import FieldError, Invalid
from gamify.services import ladder, ledger_actors, period
from gamify.services.entries import INT64_MAX, MEMBER, REASON, Filter
from gamify.services.ledger_totals import PART_OF_TYPE
from sqlalchemy.orm import Session

DOT = MEMBER
FIELDS = ("participant", "type", "period", "from", "to", "reason", "match", "min", "max", "key", "tier", "without")
NO_TIER = "-"  # no code can be it
TYPES = {
    "award": "Award",
    "deduct": "Deduct",
    "award_reversal": "Award reversed",
    "deduct_reversal": "Given back",
}
PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "last_7_days": "Last 7 days",
    "last_30_days": "Last 30 days",
    "last_90_days": "Last 90 days",
    "this_month": "This month",
    "last_month": "Last month",
    "this_year": "This year",
    "all": "All time",
}
LONGEST = 500
LONGEST_ID = 255
MOST_MEMBERS = 10  # of the metadata, asked for at once
WHOLE = re.compile(r"[0-9]{1,19}")


class Chip(NamedTuple):
    """A part of the filter in words, and the address of the page without it."""

    label: str
    value: str
    without: dict[str, str]


@dataclass
class Asked:
    """A filter as typed (`values`), what it means (`wanted`) and what is wrong with it."""

    values: dict[str, str]
    zone: ZoneInfo
    now: datetime
    wanted: Filter = field(default_factory=Filter)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, str]:
        """Members of the metadata by name."""
        return {name.removeprefix(DOT): value for name, value in self.values.items() if name.startswith(DOT)}

    @property
    def is_filtering(self) -> bool:
        """Whether anything but all of the ledger is asked for."""
        return self.wanted != Filter() or bool(self.errors)

    @property
    def is_rare_used(self) -> bool:
        """Whether the filter uses fields that are folded away."""
        rare = {"reason", "min", "max", "key", "metadata", "tier"}
        return bool(rare & (set(self.values) | set(self.errors))) or bool(self.metadata)

    def without(self, *names: str) -> dict[str, str]:
        """The address's parameters without some of them."""
        return {name: value for name, value in self.values.items() if name not in names}

    def check(self) -> None:
        """Raise `Invalid` if anything is wrong."""
        if self.errors:
            raise Invalid([FieldError(*error) for error in self.errors.items()])

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Keep what is wrong for the page, by field."""
        try:
            yield
        except Invalid as error:
            self.errors |= {each.field: each.message for each in error.errors}


def read(session: Session, tenant_id: int, arguments: Mapping[str, str], *, zone: ZoneInfo, now: datetime) -> Asked:
    """Understand the parameters of an address. Nothing raises: what is wrong stands in `errors`."""
    asked = Asked(_values(arguments), zone, now)
    found: dict[str, Any] = {}
    for part in (_members, _texts, _times, _amounts, _without):
        with asked.noting():
            found |= part(asked)
    if (key := asked.values.get("key")) and "key" not in asked.errors:
        with asked.noting():
            found["api_key_id"], found["user_id"] = ledger_actors.find(session, tenant_id, key)
    if code := asked.values.get("tier"):
        with asked.noting():
            found["tier"] = _tier(session, tenant_id, code)
    asked.wanted = Filter(**found)
    return asked


def chips(asked: Asked) -> list[Chip]:
    """Say what is filtered, each part with the way out of it."""
    values = asked.values
    said: list[tuple[str, str, tuple[str, ...]]] = []
    if words := period_in_words(asked):
        said.append(("", words, ("period", "from", "to")))
    plain: dict[str, Callable[[str], tuple[str, str]]] = {
        "participant": lambda value: ("Participant", value),
        "type": lambda value: ("Type", TYPES.get(value, value)),
        "reason": lambda value: ("Reason is" if values.get("match") == "exact" else "Reason contains", value),
        "min": lambda value: ("At least", f"{value} points"),
        "max": lambda value: ("At most", f"{value} points"),
        "key": lambda value: ("By", "no key" if value == ledger_actors.NO_KEY else value),
        "tier": lambda value: ("On tier", "none" if value == NO_TIER else value),
        "without": lambda value: ("Without", value.removeprefix(DOT)),
    }
    said += [
        (*say(values[name]), (name, "match") if name == "reason" else (name,)) for name, say in plain.items() if name in values
    ]
    said += [(f"{name} =", value, (f"{DOT}{name}",)) for name, value in asked.metadata.items()]
    return [Chip(label, value, asked.without(*names)) for label, value, names in said]


def period_in_words(asked: Asked) -> str:
    """The period as its name and its days; empty for all time."""
    wanted, values = asked.wanted, asked.values
    if wanted.since is None and wanted.until is None:
        return ""
    first = _written(wanted.since, asked) if wanted.since else "the beginning"
    last = _written(wanted.until, asked, is_end=True) if wanted.until else "now"
    days = first if first == last else f"{first} to {last}"
    return f"{PERIODS[values['period']]}: {days}" if "period" in values else days


def _written(at: datetime, asked: Asked, *, is_end: bool = False) -> str:
    """A day in the tenant's zone, or the instant if it is within one."""
    local = at.astimezone(asked.zone)
    day = local.date()
    if at == period.days(day, None, asked.zone)[0]:
        return f"{day - period.A_DAY if is_end else day:%-d %b %Y}"
    return f"{local:%-d %b %Y %H:%M:%S}"


def _values(arguments: Mapping[str, str]) -> dict[str, str]:
    """What is given, without what is left empty; the two fields for a member of the metadata are one parameter."""
    values = {name: value for name, value in arguments.items() if value.strip() and (name in FIELDS or name.startswith(DOT))}
    name, value = arguments.get("metadata_name", "").strip(), arguments.get("metadata_value", "")
    if name and value:
        values[f"{DOT}{name}"] = value
    if "from" in values or "to" in values:
        values.pop("period", None)
    if values.get("period") == "all":
        del values["period"]
    if "reason" not in values:
        values.pop("match", None)
    return values


def _members(asked: Asked) -> dict[str, Any]:
    """Each one asked for is one more thing to look at in every entry, and one more link on the page with all the others in it."""
    surplus = [name for name in asked.values if name.startswith(DOT)][MOST_MEMBERS:]
    for name in surplus:
        del asked.values[name]
    if surplus:
        raise Invalid([FieldError("metadata_name", f"At most {MOST_MEMBERS} members can be asked for at once.")])
    return {"metadata": asked.metadata}


def _without(asked: Asked) -> dict[str, Any]:
    what = asked.values.get("without")
    if what and what != REASON and not (what.startswith(DOT) and what != DOT):
        raise Invalid([FieldError("without", f"Must be {REASON}, or {DOT} and the name of a member.")])
    return {"without": what}


def _tier(session: Session, tenant_id: int, code: str) -> int:
    """The number of the tier of a code, of one that is gone as well."""
    numbers = {tier.code: number for number, tier in ladder.known(session, tenant_id).items()} | {NO_TIER: 0}
    if code not in numbers:
        raise Invalid([FieldError("tier", f"Must be the code of one of your tiers, or {NO_TIER} for none.")])
    return numbers[code]


def _texts(asked: Asked) -> dict[str, Any]:
    values = asked.values
    errors = [FieldError(name, "Must not hold the character U+0000.") for name, value in values.items() if "\0" in name + value]
    errors += [
        FieldError(name, f"Must be at most {LONGEST} characters.")
        for name, value in values.items()
        if len(value) > LONGEST or len(name) > LONGEST
    ]
    if "type" in values and values["type"] not in PART_OF_TYPE:
        errors.append(FieldError("type", f"Must be one of {', '.join(PART_OF_TYPE)}."))
    if values.get("match", "exact") not in ("exact", "contains"):
        errors.append(FieldError("match", "Must be exact or contains."))
    if errors:
        raise Invalid(errors)
    reason = "reason" if values.get("match") == "exact" else "reason_part"
    return {
        "participant_id": values.get("participant"),
        "type": values.get("type"),
        reason: values.get("reason"),
    }


def _times(asked: Asked) -> dict[str, Any]:
    values = asked.values
    if name := values.get("period"):
        first, last = period.preset(name, zone=asked.zone, now=asked.now)
        since, until = period.days(first, last, asked.zone)
    else:
        since, until = period.period(values.get("from"), values.get("to"), asked.zone)
    if since and until and since > until:
        raise Invalid([FieldError("to", "Must not be before the beginning.")])
    return {"since": since, "until": until}


def _amounts(asked: Asked) -> dict[str, Any]:
    found: dict[str, int] = {}
    errors: list[FieldError] = []
    for name in ("min", "max"):
        text = asked.values.get(name, "").strip().replace(",", "")
        if not text:
            continue
        if WHOLE.fullmatch(text) and 1 <= int(text) <= INT64_MAX:
            found[f"{name}_amount"] = int(text)
        else:
            errors.append(FieldError(name, "Must be a whole number of points from 1."))
    if not errors and found.get("min_amount", 0) > found.get("max_amount", INT64_MAX):
        errors.append(FieldError("max", "Must not be less than the least."))
    if errors:
        raise Invalid(errors)
    return found
