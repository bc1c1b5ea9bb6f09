"""The form of a draft: rows as they were typed, and what they say."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gamify.errors import FieldError
from gamify.models.tier import tone_of
from gamify.services import tiers
from gamify.services.drafts import Content, Rung
from gamify.services.tiers import Qualification
from werkzeug.datastructures import MultiDict

FIELDS = ("code", "name", "threshold", "colour")
MOST_ROWS = 3 * tiers.MOST_TIERS  # deleted ones are among them
MOST_DIGITS = 30  # that are read as a number at all
LONGEST_CODE = 50

Typed = MultiDict[str, str]


class Row(NamedTuple):
    """A row as it was typed; `key` tells it from the others of its form."""

    key: str
    code: str = ""
    name: str = ""
    threshold: str = ""
    colour: str = ""
    is_new: bool = True  # never published, so that its code may still change
    is_gone: bool = False

    @property
    def points(self) -> int | None:
        """The threshold, if it is a number."""
        return whole(self.threshold)

    @property
    def counts(self) -> bool:
        """Whether it is a tier of the draft: somebody has typed something, and nobody has deleted it."""
        return not self.is_gone and bool(self.code or self.name or self.threshold)

    @property
    def title(self) -> str:
        """What it is called until it has a name."""
        return self.name or self.code or "new tier"

    @property
    def rung(self) -> Rung:
        """What it says; a code is made of the name, or a name of the code, where one is missing."""
        code = self.code or _code_of(self.name)
        return Rung(code, self.name or (tiers.usual_name(code) if code else ""), self.points, self.colour or None)


def whole(text: str) -> int | None:
    """A whole number as people write it: 1,500."""
    digits = text.strip().replace(",", "").replace(" ", "")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS else None


def rows_of(rungs: Iterable[Rung], gone: Iterable[Rung], published: Iterable[str]) -> list[Row]:
    """The rows of a draft, and of the tiers in force that it has not any more; the highest first."""
    known = set(published)
    some = [(rung, False) for rung in rungs] + [(rung, True) for rung in gone]
    return highest_first(_row(f"t{n}", rung, known, is_gone=is_gone) for n, (rung, is_gone) in enumerate(some))


def _row(key: str, rung: Rung, known: set[str], *, is_gone: bool) -> Row:
    threshold = "" if rung.threshold is None else f"{rung.threshold:,}"
    return Row(key, rung.code, rung.name, threshold, rung.colour or "", is_new=rung.code not in known, is_gone=is_gone)


def highest_first(rows: Iterable[Row]) -> list[Row]:
    """In the order they are shown in; those without a threshold before all."""
    return sorted(rows, key=lambda row: (row.points is not None, -(row.points or 0)))


def typed(form: Typed, published: Iterable[str]) -> list[Row]:
    """The rows that were sent."""
    known, rows = set(published), []
    for key in dict.fromkeys(form.getlist("row")[:MOST_ROWS]):
        code, name, threshold, colour = (form.get(f"{field}-{key}", "").strip() for field in FIELDS)
        is_new, is_gone = code not in known, f"gone-{key}" in form
        rows.append(Row(key, code, name, threshold, colour, is_new=is_new, is_gone=is_gone))
    return rows


def counting(rows: Iterable[Row]) -> list[Row]:
    """The rows that are tiers of the draft, in its order: the lowest first."""
    return highest_first(row for row in rows if row.counts)[::-1]


def content(form: Typed, rows: Iterable[Row]) -> Content:
    """What the form says."""
    return Content(tuple(row.rung for row in counting(rows)), _qualification(form))


def at_fields(errors: Iterable[FieldError], rows: Sequence[Row]) -> dict[str, str]:
    """What is wrong with a content, by the names of the form's fields."""
    counted, found = counting(rows), {}
    for field, message in errors:
        parts = field.split(".")
        if len(parts) == 3:  # noqa: PLR2004  # tiers.0.code
            found[f"{parts[2]}-{counted[int(parts[1])].key}"] = message
        else:
            found[parts[1] if len(parts) > 1 else "form"] = message
    return found


def tones(rungs: Iterable[Rung]) -> list[str]:
    """The colour of each rung of a content, the lowest first."""
    return [tone_of(rung.code, level, rung.colour) for level, rung in enumerate(rungs, start=1)]


def tones_of(rows: Sequence[Row]) -> dict[str, str]:
    """The colour of each row by its key; of those that are no tiers of the draft, the one they would have."""
    counted = counting(rows)
    found = dict(zip((row.key for row in counted), tones(row.rung for row in counted), strict=True))
    return found | {row.key: tone_of(row.code, len(rows), row.colour or None) for row in rows if not row.counts}


def _code_of(name: str) -> str:
    letters = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in name.lower())
    return "-".join(letters.split())[:LONGEST_CODE]


def _qualification(form: Typed) -> Qualification:
    basis = form.get("basis", "lifetime")
    window, grace = whole(form.get("window_days", "")), whole(form.get("grace_days", ""))
    return Qualification(basis, window if basis == "window" else None, grace if basis == "year" else None)
