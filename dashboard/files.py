"""Files that are made while they are sent: few at a time, and with a last line that says so if they break off."""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Lock

from flask import Response
from gamify.errors import Unavailable
from gamify.services import spreadsheet

LINES_AT_ONCE = 500
# A process. Until its reader has all of it, a file holds a connection and, while lines are made, a thread; the readers
# set the pace, and whoever reads slowly must leave enough of both to everybody else.
MOST, MOST_OF_ONE = 4, 2

_under_way: Counter[int | None] = Counter()  # by tenant
_counting = Lock()


def send(name: str, lines: Generator[str], *, whose: int | None) -> Response:
    """Send lines as they are made. Raises what making the first ones raises, and `Unavailable` if too many are on their way.

    `whose` is the tenant that it counts for; None: the operators.
    """
    parts = _parts(lines, whose)
    first = next(parts)  # while a fault can still be told
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    answer = Response(_all(first, parts), mimetype="text/csv", headers=headers)
    answer.call_on_close(parts.close)  # whoever asks for the header alone, or goes away, never comes to the end
    return answer


def _all(first: str, parts: Iterator[str]) -> Iterator[str]:
    yield first
    yield from spreadsheet.telling(parts)


def _parts(lines: Generator[str], whose: int | None) -> Generator[str]:
    with _counted(whose):
        try:
            while part := "".join(islice(lines, LINES_AT_ONCE)):
                yield part
        finally:
            lines.close()  # and with it its transaction


@contextmanager
def _counted(whose: int | None) -> Iterator[None]:
    with _counting:
        if _under_way[whose] >= MOST_OF_ONE or _under_way.total() >= MOST:
            raise Unavailable("Other files are on their way at the moment; try again when they have arrived.")
        _under_way[whose] += 1
    try:
        yield
    finally:
        with _counting:
            _under_way[whose] -= 1
