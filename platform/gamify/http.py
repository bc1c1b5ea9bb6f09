"""What every request and every answer keeps to, whichever door it takes: hosts, proxies, cookies and headers."""

import re
import uuid
from collections.abc import Iterable

from flask import Flask, Request, Response, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from gamify.config import ANY_HOST, Settings
from gamify.errors import CrossSite, HostNotServed

API = "/api/"
HEALTH = ("/healthz", "/readyz")  # asked for by balancers, under whatever name they know
REQUEST_ID = re.compile(r"[A-Za-z0-9_\-.:]{1,128}")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{0,5})?")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
REMEMBERED = 1_000  # ways to write a host: names with ports
A_YEAR = 31_536_000  # seconds

# Scripts, styles, pictures and requests of our own; nothing inline, nothing from elsewhere, inside nobody's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
UNUSED = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "usb",
    "xr-spatial-tracking",
)
PAGE_HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", ", ".join(f"{feature}=()" for feature in UNUSED)),
    ("Referrer-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
)


class Hosts:
    """The names under which this deployment is served, on any port."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._seen: set[str] = set()  # as written in requests: one look-up tells

    def serve(self, host: str) -> bool:
        """Whether a request to `host`, a header's value, is meant for us."""
        if host in self._seen:
            return True
        written = HOST.fullmatch(host)
        is_ours = ANY_HOST in self._names or (written is not None and written[1].lower().rstrip(".") in self._names)
        if is_ours and len(self._seen) < REMEMBERED:
            self._seen.add(host)
        return is_ours


class PageSessions(SecureCookieSessionInterface):
    """Sessions for pages only: no cookie means anything to the API, and none is read or set there."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a page's request."""
        return None if request.path.startswith(API) else super().open_session(app, request)

    def get_cookie_name(self, app: Flask) -> str:
        """A browser takes `__Host-` only with Secure, from this very host and for all of it."""
        name = super().get_cookie_name(app)
        return f"__Host-{name}" if self.get_cookie_secure(app) else name

    def get_cookie_secure(self, app: Flask) -> bool:
        """Always in production; elsewhere when the request came by https."""
        return super().get_cookie_secure(app) or request.is_secure


def init_app(app: Flask, settings: Settings) -> None:
    """Name requests, refuse those that are not for us, and harden what is answered."""
    hosts = Hosts(settings.allowed_hosts)
    app.session_interface = PageSessions()
    app.config.update(SESSION_COOKIE_SECURE=settings.is_production, SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_PATH="/")
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]  # Flask's way

    @app.before_request
    def receive() -> None:
        sent = request.headers.get("X-Request-ID", "")
        g.request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        host = request.environ.get("HTTP_HOST", "")
        if not hosts.serve(host) and request.path not in HEALTH:
            raise HostNotServed(host)
        if request.method not in SAFE_METHODS:
            _refuse_cross_site()

    app.after_request(harden)


def harden(response: Response) -> Response:
    """Tell browsers and caches how little they may do with an answer."""
    headers = response.headers
    headers.add("X-Content-Type-Options", "nosniff")
    if request.path.startswith(API):
        headers.add("Cache-Control", "no-store")
    else:
        headers.update(PAGE_HEADERS)
        headers.setdefault("Cache-Control", "no-store")  # static files have said how long they keep
    if request.is_secure:
        headers.add("Strict-Transport-Security", f"max-age={A_YEAR}")
    return response


def _refuse_cross_site() -> None:
    """The API is open to programs anywhere, which need a key; pages take forms from pages of ours alone."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and not request.path.startswith(API):
        raise CrossSite
