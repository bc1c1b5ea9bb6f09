"""What can go wrong, as the outside sees it: a status, a stable code and one sentence someone can act on."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple


class FieldError(NamedTuple):
    """One thing wrong with one member of a request; `field` is a path such as `awards.3.amount`."""

    field: str
    message: str


class DomainError(Exception):
    """Base of every expected refusal. `str(error)` is safe to show to anyone."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong"
    headers: ClassVar[dict[str, str]] = {}


class Invalid(DomainError):
    """Values out of bounds: nothing was stored."""

    status = 422
    code = "invalid_request"
    title = "The request has invalid values"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        first = self.errors[0]
        more = f" ({len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        super().__init__(f"{first.field}: {first.message}{more}")


class IdempotencyMismatch(Invalid):
    """The idempotency key has already decided a different request."""

    code = "idempotency_mismatch"
    title = "The idempotency key was used for another request"

    def __init__(self) -> None:
        super().__init__([FieldError("idempotency_key", "This key was already used for a different request.")])


class PointsOverflow(Invalid):
    """The movement would leave the range of a 64-bit total."""

    code = "points_overflow"
    title = "The total would be too large"

    def __init__(self) -> None:
        super().__init__([FieldError("amount", "This would take a total beyond 9223372036854775807.")])


class InsufficientPoints(DomainError):
    """A deduct asked for more than there is. The detail's wording is part of the API."""

    status = 400
    code = "insufficient_points"
    title = "Not enough points"

    def __init__(self, *, available: int, requested: int, is_replay: bool = False) -> None:
        self.is_replay = is_replay
        super().__init__(f"Insufficient points. Available: {available}, requested: {requested}")


class Malformed(DomainError):
    """The body cannot be read as JSON at all."""

    status = 400
    code = "malformed_json"
    title = "The body is not valid JSON"


class HostNotServed(DomainError):
    """The request names a host that this deployment does not answer to."""

    status = 400
    code = "host_not_served"
    title = "This host is not served here"

    def __init__(self, host: str) -> None:
        super().__init__(f"The host {host[:255]!r} is not served here; whoever runs this can add its name to ALLOWED_HOSTS.")


class CrossSite(DomainError):
    """A browser sends what another site's page has made it send."""

    status = 403
    code = "cross_site"
    title = "The request comes from another site"

    def __init__(self) -> None:
        super().__init__("Another site has sent you here to change something; open the page itself and do it there.")


class Unauthenticated(DomainError):
    """One answer for every key that does not work, so that nobody learns which keys exist."""

    status = 401
    code = "unauthenticated"
    title = "A valid API key is needed"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'ApiKey realm="gamify"'}

    def __init__(self) -> None:
        super().__init__("Send a valid API key in the X-API-Key header.")


class MissingScope(DomainError):
    """The key is valid, but was not given what this route needs."""

    status = 403
    code = "missing_scope"
    title = "The API key lacks a scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API key lacks the scope {scope}.")


class AddressNotAllowed(DomainError):
    """The key is valid, but may be used from some networks only, and this is none of them."""

    status = 403
    code = "address_not_allowed"
    title = "The API key may not be used from this address"

    def __init__(self, address: str | None) -> None:
        shown = (address or "an unknown address")[:64]
        super().__init__(f"This API key may not be used from {shown}; ask a tenant admin to allow it.")


class TenantSuspended(DomainError):
    """The key is valid, but its tenant may not work at the moment."""

    status = 403
    code = "tenant_suspended"
    title = "The tenant is suspended"

    def __init__(self) -> None:
        super().__init__("This tenant is suspended; ask the operator of the platform.")


class NotFound(DomainError):
    """Nothing there, or nothing that this caller may know of."""

    status = 404
    code = "not_found"
    title = "Not found"


class NotAcceptable(DomainError):
    """What is there comes in none of the forms that the request would take."""

    status = 406
    code = "not_acceptable"
    title = "There is no such form of the answer"

    def __init__(self, forms: Sequence[str]) -> None:
        super().__init__(f"Ask for {' or '.join(forms)} in the Accept header, or send none.")


class Conflict(DomainError):
    """What was asked for contradicts what is there."""

    status = 409
    code = "conflict"
    title = "That conflicts with what is there"


class DraftChanged(Conflict):
    """Somebody else has changed the draft of tiers; `theirs` is what it is now, so that nobody loses anything."""

    code = "draft_changed"
    title = "The draft was changed by somebody else"

    def __init__(self, why: str, *, theirs: Any) -> None:
        self.theirs = theirs
        super().__init__(f"{why} Nothing of yours is stored; compare the two, and send what you want with the new revision.")


class TooLarge(DomainError):
    """The body exceeds the route's limit."""

    status = 413
    code = "body_too_large"
    title = "The body is too large"


class UnsupportedMediaType(DomainError):
    """Only UTF-8 JSON is read."""

    status = 415
    code = "unsupported_media_type"
    title = "The body must be JSON"

    def __init__(self) -> None:
        super().__init__("Send the body as Content-Type: application/json, in UTF-8.")


class RateLimited(DomainError):
    """The key or its tenant has used up its requests of the last minute."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, *, limit: int, subject: str, retry_after: int) -> None:
        self.headers = {"Retry-After": str(retry_after)}  # type: ignore[misc]  # an instance knows its own delay
        super().__init__(f"The {subject} is limited to {limit} requests a minute; try again in {retry_after} s.")


class OnPages(DomainError):
    """A refusal that people meet while they sign in; the API never answers with one."""


class WrongPassword(OnPages):
    """One answer for every e-mail and password that do not belong together."""

    status = 401
    code = "wrong_password"
    title = "You cannot sign in"

    def __init__(self) -> None:
        super().__init__("The e-mail or the password is not right.")


class SignInRefused(OnPages):
    """The password was right, but its owner may not come in."""

    status = 403
    code = "sign_in_refused"
    title = "You cannot sign in"


class TooManyTries(OnPages):
    """Passwords, codes or links were asked for too often in a row."""

    status = 429
    code = "too_many_tries"
    title = "Too many tries"

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        self.headers = {"Retry-After": str(retry_after)}  # type: ignore[misc]  # an instance knows its own delay
        super().__init__(f"Too many tries; try again in {retry_after} second{'' if retry_after == 1 else 's'}.")


class LinkSpent(OnPages):
    """One sentence for links that are unknown, used, withdrawn or expired."""

    status = 404
    code = "link_spent"
    title = "This link does not work any more"

    def __init__(self) -> None:
        super().__init__("This link was used, withdrawn, or is too old. Ask for a new one.")


class Unavailable(DomainError):
    """A fault of ours or of the database; nothing was decided, and trying again is right."""

    status = 503
    code = "unavailable"
    title = "Try again shortly"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}

    def __init__(self, why: str = "The service cannot answer at the moment; try again shortly.") -> None:
        super().__init__(why)


class LockedByOthers(Unavailable):
    """Somebody else holds a row, or the database is slow, for too long."""

    def __init__(self) -> None:
        super().__init__("What this would change is held by somebody else; try again shortly.")


class BeingPrepared(Unavailable):
    """What reports are made of is derived anew, after an upgrade or a change of the time zone."""

    code = "being_prepared"
    title = "Reports are being prepared"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "15"}

    def __init__(self, what: str = "Reports are") -> None:
        super().__init__(f"{what} being prepared from the ledger; try again in a moment.")
