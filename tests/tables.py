"""Tables of pages, as somebody reads them: texts by row, with where each leads."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import NamedTuple


class Read(NamedTuple):
    """A cell: what it says, and where it leads if it does."""

    text: str
    link: str


@dataclass
class Table:
    """A table by its parts."""

    head: list[list[Read]] = field(default_factory=list)
    body: list[list[Read]] = field(default_factory=list)
    foot: list[list[Read]] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        return [cell.text for cell in self.head[0]]

    @property
    def texts(self) -> list[list[str]]:
        return [[cell.text for cell in row] for row in self.body]


def tables(page: str) -> dict[str, Table]:
    """The page's tables, by id."""
    reader = _Reader()
    reader.feed(page)
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Table] = {}
        self._table: Table | None = None
        self._rows: list[list[Read]] = []
        self._text: list[str] | None = None
        self._link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._table = self.found.setdefault(given.get("id") or "", Table())
        if self._table is None:
            return
        if tag in ("thead", "tbody", "tfoot"):
            self._rows = getattr(self._table, {"thead": "head", "tbody": "body", "tfoot": "foot"}[tag])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._text, self._link = [], ""
        elif tag == "a" and self._text is not None:
            self._link = given.get("href") or ""

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._text is not None:
            self._rows[-1].append(Read(" ".join("".join(self._text).split()), self._link))
            self._text = None
        elif tag == "table":
            self._table = None
