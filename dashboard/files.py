"""Files that are made while they are sent: few at a time, and with a last line that says so if they break off."""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from flask import Response, send_file
from gamify.errors import NotFound, Unavailable
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
    answer = Response(_all(first, parts), mimetype="text/csv", headers={"Content-Disposition": disposition(name)})
    answer.call_on_close(parts.close)  # whoever asks for the header alone, or goes away, never comes to the end
    return answer


def send_made(path: Path, name: str, *, mimetype: str, whose: int) -> Response:
    """Send a file that is there, or the range of it that is asked for. Raises `NotFound`, and `Unavailable` as `send` does.

    It holds a thread as well, for as long as its reader takes.
    """
    with ExitStack() as held:
        held.enter_context(_counted(whose))
        try:
            answer = send_file(path, mimetype=mimetype, conditional=True)
        except OSError as error:
            raise NotFound("The file is not there any more; ask for it again.") from error
        answer.headers |= {"Content-Disposition": disposition(name), "Cache-Control": "no-store"}
        answer.call_on_close(held.pop_all().close)
    return answer


def disposition(name: str) -> str:
    """The header that names a file, in letters that every browser reads and, where there are others, in UTF-8 as well."""
    if name.isascii():
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"file.{name.rpartition('.')[2]}\"; filename*=UTF-8''{quote(name, safe='')}"


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
