"""The pages' door: who is signed in, and whether they may see what they ask for. A route that names no permission is shut."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import UUID

from flask import Flask, Response, abort, g, redirect, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user  # type: ignore[import-untyped]
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped]
from gamify.deployment import database
from gamify.services import roles, sessions
from gamify.services.audit import Actor
from gamify.services.person_log import Place, acting
from gamify.services.sessions import SignedIn
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Response as Answer

View = TypeVar("View", bound=Callable[..., Any])

GUARDED = "/dashboard/"
PUBLIC = "public"
BY_ITSELF = "X-By-Itself"  # the header of requests that no person has caused: pages that bring parts of themselves up to date


@dataclass(eq=False)
class Visitor(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """Somebody as Flask-Login knows them: by the id of their session."""

    signed_in: SignedIn

    def get_id(self) -> str:
        """What the signed cookie holds."""
        return str(self.signed_in.session.id)


def init_app(app: Flask) -> None:
    """Guard everything under /dashboard."""
    manager = LoginManager()
    manager.session_protection = None  # the row is the protection; people on phones change addresses
    manager.user_loader(_load)
    # Not by init_app: it would look into the session after every answer, for cookies that we do not use.
    app.login_manager = manager  # type: ignore[attr-defined]
    app.config.update(WTF_CSRF_TIME_LIMIT=None, WTF_CSRF_CHECK_DEFAULT=False)
    csrf = CSRFProtect(app)

    @app.before_request
    def guard() -> Answer | None:
        if not f"{request.path}/".startswith(GUARDED) or request.endpoint is None:
            return None  # not a page, or none that exists
        csrf.protect()
        return _check(permission_of(app, request.endpoint))

    @app.context_processor
    def for_templates() -> dict[str, Any]:
        return {"may": may, "visitor": visitor}


def allows(permission: str, *, fresh: bool = False) -> Callable[[View], View]:
    """Say what somebody must be allowed to do to see a view, and whether they must have proved lately who they are."""
    if permission != PUBLIC and permission not in roles.PERMISSIONS:
        raise ValueError(f"no role can have the permission {permission}")

    def mark(view: View) -> View:
        view.permission, view.is_fresh = permission, fresh  # type: ignore[attr-defined]  # read by `permission_of`
        return view

    return mark


def permission_of(app: Flask, endpoint: str) -> tuple[str | None, bool]:
    """Return what `allows` said of an endpoint's view."""
    view = app.view_functions[endpoint]
    return getattr(view, "permission", None), getattr(view, "is_fresh", False)


def visitor() -> SignedIn | None:
    """Who is here, if anybody has at least given a password."""
    return current_user.signed_in if current_user.is_authenticated else None


def who() -> SignedIn:
    """Who is signed in; only for views that somebody must be signed in for."""
    found = visitor()
    if found is None or not found.session.is_complete:
        raise RuntimeError("this view let somebody in who is not signed in")
    return found


def may(permission: str) -> bool:
    """Whether somebody is here who may do this."""
    found = visitor()
    return found is not None and found.session.is_complete and roles.allows(found.user.role, permission)


def place() -> Place:
    """Where the request comes from."""
    return Place(request.remote_addr, request.headers.get("User-Agent"), g.request_id)


def actor() -> Actor:
    """Who changes something, for the audit log."""
    return acting(who().user, place())


def now() -> datetime:
    """The time of this request."""
    if "now" not in g:
        g.now = datetime.now(UTC)
    found: datetime = g.now
    return found


def remember(session_id: UUID) -> None:
    """Put the id of a session into a new cookie, with nothing else from before, tokens of forms included."""
    session.clear()
    with database().transaction() as db:
        found = sessions.find(db, session_id, now=now())
    if found is not None:
        login_user(Visitor(found))


def forget() -> None:
    """Empty the cookie."""
    logout_user()
    session.clear()


def local(path: str | None) -> str:
    """Return the path if it leads to a page of ours, else the first page."""
    return path if path and path.startswith(GUARDED) and path.isprintable() else url_for("home.index")


def lead_to(address: str) -> Answer:
    """Lead to another page, in the way that htmx understands too."""
    if request.headers.get("HX-Request"):
        return Response(headers={"HX-Redirect": iri_to_uri(address)})  # a header holds no other letters
    return redirect(address, code=303 if request.method == "POST" else 302)


def back() -> str:
    """The page whose form sent this request."""
    return local(_path_of(request.referrer))


def _load(session_id: str) -> Visitor | None:
    try:
        wanted = UUID(session_id)
    except ValueError:
        return None
    with database().transaction() as db:
        found = sessions.find(db, wanted, now=now(), is_use=not request.headers.get(BY_ITSELF))
    return Visitor(found) if found else None


def _check(rule: tuple[str | None, bool]) -> Answer | None:
    permission, is_fresh = rule
    if permission == PUBLIC:
        return None
    found = visitor()
    if found is None:
        return lead_to(url_for("sign_in.index", next=_here()))
    if not found.session.is_complete:
        return lead_to(url_for("second_factor.index", next=_here()))
    if permission is None or not roles.allows(found.user.role, permission):
        abort(403)
    if is_fresh and not found.is_fresh(now()):
        return lead_to(url_for("sign_in.confirm", next=_here()))
    return None


def _here() -> str:
    """The page to come back to: this one, or the one whose form or script sent the request."""
    if request.headers.get("HX-Request"):
        path = _path_of(request.headers.get("HX-Current-URL"))
    elif request.method in ("GET", "HEAD"):
        query = request.query_string.decode("ascii", "replace")
        path = quote(request.path) + (f"?{query}" if query else "")
    else:
        path = _path_of(request.referrer)
    return local(path)


def _path_of(address: str | None) -> str:
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
