"""htmx: one address with two renderings, and what else an answer can tell the page that asked."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, make_response, render_template, request
from htmx_flask import Htmx  # type: ignore[import-untyped]

HEADERS = ("HX-Request", "HX-Target")


def init_app(app: Flask) -> None:
    """Let requests tell whether htmx sends them, and templates ask."""
    Htmx(app)
    app.jinja_env.globals["is_partial"] = is_partial


def is_partial() -> bool:
    """Whether a part of a page is wanted. Going back to a page that the browser has forgotten takes the whole of it."""
    sent: Any = request.htmx  # type: ignore[attr-defined]  # put there by htmx-flask
    return bool(sent) and not sent.history_restore_request and not sent.boosted


def target() -> str:
    """The id of the element that the answer is for. htmx 4 names it with its tag: `tbody#rows`."""
    return request.headers.get("HX-Target", "").rpartition("#")[2]


def render(whole: str, /, *, partials: Mapping[str, str] | None = None, status: int = 200, **values: Any) -> Response:
    """Render a whole page or, for htmx, the partial of the element it asks for; the page includes the same partials.

    `partials` are templates by the id of the element they fill.
    """
    template = (partials or {}).get(target()) if is_partial() else None
    answer = make_response(render_template(template or whole, **values), status)
    if partials:
        answer.vary.update(HEADERS)
    return answer


def toast(answer: Response, sentence: str, *, kind: str = "said") -> Response:
    """Let the page show a sentence for a while; `kind` is `said` or `error`."""
    answer.headers["HX-Trigger"] = json.dumps({"toast": {"sentence": sentence, "kind": kind}})
    return answer


def refuse(sentence: str, status: int) -> Response:
    """Answer htmx with an error: nothing is put into the page but a toast."""
    answer = toast(make_response("", status), sentence, kind="error")
    answer.headers["HX-Reswap"] = "none"
    return answer
