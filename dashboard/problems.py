"""The API's problems, explained for those who meet them: to `/docs` and the page for developers."""

from typing import NamedTuple


class Problem(NamedTuple):
    """A problem as pages explain it."""

    status: int
    code: str
    title: str
    advice: str


PROBLEMS = (
    Problem(400, "malformed_json", "The body is not valid JSON", "Send one JSON object in UTF-8."),
    Problem(400, "host_not_served", "This host is not served here", "Use a name that is listed in ALLOWED_HOSTS."),
    Problem(400, "insufficient_points", "Not enough points", "Nothing was deducted; the detail tells what there is."),
    Problem(401, "unauthenticated", "A valid API key is needed", "Check X-API-Key: it may be mistyped, revoked or expired."),
    Problem(403, "cross_site", "The request comes from another site", "Send it from a page of the dashboard itself."),
    Problem(403, "missing_scope", "The API key lacks a scope", "Ask a tenant admin for a key with the scope that is named."),
    Problem(
        403,
        "address_not_allowed",
        "The API key may not be used from this address",
        "The detail names the address; ask a tenant admin to add it to the networks of the key.",
    ),
    Problem(403, "tenant_suspended", "The tenant is suspended", "Ask the operator of the platform."),
    Problem(404, "not_found", "Nothing there", "Check the address; a participant exists from the first award on."),
    Problem(405, "method_not_allowed", "Wrong method", "The header Allow lists the right ones."),
    Problem(406, "not_acceptable", "There is no such form of the answer", "Reports come as application/json or text/csv."),
    Problem(409, "conflict", "That conflicts with what is there", "The detail tells with what."),
    Problem(
        409,
        "draft_changed",
        "The draft was changed by somebody else",
        "draft tells what it is now, and who changed it; send yours again with its revision if you still want it.",
    ),
    Problem(413, "body_too_large", "The body is too large", "Send less at a time: 1 MiB, or 4 MiB for a batch."),
    Problem(415, "unsupported_media_type", "The body must be JSON", "Send Content-Type: application/json."),
    Problem(422, "invalid_request", "The request has invalid values", "Nothing was stored; errors lists each field."),
    Problem(
        422,
        "idempotency_mismatch",
        "The idempotency key was used for another request",
        "Nothing moved; use a new key for a new request.",
    ),
    Problem(422, "points_overflow", "The total would be too large", "Totals end at 9,223,372,036,854,775,807."),
    Problem(429, "rate_limited", "Too many requests", "Wait for the seconds in Retry-After."),
    Problem(500, "internal_error", "Something went wrong", "The fault is ours; tell us the request_id."),
    Problem(503, "unavailable", "Try again shortly", "With the same idempotency key, a repetition is always safe."),
    Problem(503, "being_prepared", "Reports are being prepared", "Wait for the seconds in Retry-After, then ask again."),
)
