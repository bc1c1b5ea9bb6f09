"""The browser's files: named by their content, so that they are kept for ever, and sent compressed."""

import gzip
import mimetypes
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import brotli  # type: ignore[import-untyped]
from flask import Blueprint, Response, abort, request, url_for
from markupsafe import Markup

FOLDER = Path(__file__).parent / "static"
ICONS = FOLDER / "vendor" / "lucide"
FOR_EVER = "public, max-age=31536000, immutable"
TEXTS = ("text/", "application/javascript", "application/json", "image/svg+xml")
LARGEST_AT_BEST = 300_000  # bytes that are compressed at best within half a second
LEAST_WORTH = 1_000  # bytes below which compression gains nothing
PAGE_QUALITY = 4  # of 11: pages are made for each request, files once

bp = Blueprint("assets", __name__)


class Asset(NamedTuple):
    """A file as it was read."""

    version: str
    mimetype: str
    content: bytes


@cache
def names() -> frozenset[str]:
    """The files there are, each by its one name: `./app.js` would be kept and compressed as one more file, and so on for ever."""
    return frozenset(file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*") if file.is_file())


@cache
def load(path: str, _changed_at: int) -> Asset:
    """Read a file, once a process and again when it has changed."""
    content = (FOLDER / path).read_bytes()
    mimetype = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Asset(sha256(content).hexdigest()[:12], mimetype, content)


@cache
def encoded(asset: Asset, coding: str) -> bytes:
    """Compress a file, once a process; how well depends on how long somebody waits for it the first time."""
    if coding == "br":
        return brotli.compress(asset.content, quality=11 if len(asset.content) <= LARGEST_AT_BEST else 9)  # type: ignore[no-any-return]  # no types
    return gzip.compress(asset.content, 9, mtime=0) if coding == "gzip" else asset.content


@bp.get("/static/<path:path>")
def file(path: str) -> Response:
    """Send a file; one asked for by its version may be kept for ever."""
    if path not in names():
        abort(404)
    asset = load(path, (FOLDER / path).stat().st_mtime_ns)
    is_worth_it = asset.mimetype.startswith(TEXTS) and len(asset.content) >= LEAST_WORTH
    coding = next((each for each in ("br", "gzip") if is_worth_it and accepts(each)), "identity")
    answer = Response(encoded(asset, coding), mimetype=asset.mimetype)
    if coding != "identity":
        answer.content_encoding = coding
    answer.vary.add("Accept-Encoding")
    answer.set_etag(f"{asset.version}-{coding}")
    answer.headers["Cache-Control"] = FOR_EVER if request.args.get("v") == asset.version else "no-cache"
    answer.make_conditional(request)
    return answer


def address(path: str) -> str:
    """Return where a file is, in the version it has now."""
    return url_for("assets.file", path=path, v=load(path, (FOLDER / path).stat().st_mtime_ns).version)


@cache
def icon(name: str) -> Markup:
    """Return one of Lucide's icons, as large as the text around it; it says nothing to a screen reader."""
    drawing = (ICONS / f"{name}.svg").read_text().partition("<svg")[2].partition(">")[2].strip()
    outline = 'viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"'
    return Markup(f'<svg class="icon" {outline} stroke-linejoin="round" aria-hidden="true">{drawing}')  # noqa: S704  # our own file


def accepts(coding: str) -> bool:
    """Whether the browser takes a content coding."""
    return request.accept_encodings.quality(coding) > 0


def compress(answer: Response) -> Response:
    """Compress a page.

    Not one that another site led to: whoever may choose what stands beside a secret, and see how long the whole becomes,
    could guess the secret letter by letter.
    """
    if request.path.startswith("/api/"):
        return answer  # short, and many
    is_page = answer.mimetype == "text/html" and not answer.is_streamed and not answer.direct_passthrough
    if not is_page or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        return answer
    answer.vary.add("Accept-Encoding")
    content = answer.get_data()
    if len(content) >= LEAST_WORTH and accepts("br") and not answer.content_encoding:
        answer.set_data(brotli.compress(content, quality=PAGE_QUALITY))
        answer.content_encoding = "br"
    return answer
