"""Light or dark: as the system has it, or as somebody has chosen for this browser. The server knows, so nothing flashes."""

from flask import Flask, request
from werkzeug.wrappers import Response

COOKIE = "theme"
THEMES = ("light", "dark")
A_YEAR = 31_536_000  # seconds


def init_app(app: Flask) -> None:
    """Tell templates what was chosen."""
    app.jinja_env.globals["theme"] = chosen


def chosen() -> str:
    """`light`, `dark` or, for the system's choice, nothing."""
    found = request.cookies.get(COOKIE, "")
    return found if found in THEMES else ""


def choose(answer: Response, theme: str) -> Response:
    """Remember a choice in the browser; none of `THEMES` is the system's."""
    if theme in THEMES:
        answer.set_cookie(COOKIE, theme, max_age=A_YEAR, samesite="Lax", httponly=True, secure=request.is_secure)
    else:
        answer.delete_cookie(COOKIE)
    return answer
