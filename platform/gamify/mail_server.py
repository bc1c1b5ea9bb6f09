"""Where mail goes: `MAIL_URL`, taken apart."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}
KNOWN = {"from", "starttls"}
FORM = "must look like smtp://user:password@host:587?from=gamify@example.com, or smtps://"


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server that takes mail by SMTP."""

    host: str
    port: int
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False  # from the first byte (smtps)
    is_starttls: bool = True  # or asked for


def parse(url: str, sender: str | None = None) -> MailServer:
    """Read `smtp://user:password@host:587?starttls=1&from=...` or `smtps://...`; `sender` is who writes, unless it says.

    Raises `ValueError` with what is wrong, which repeats nothing of the address.
    """
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:  # its text can hold the password
        raise ValueError(FORM) from None
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(FORM)
    query = parse_qs(parts.query, keep_blank_values=True)
    if unknown := sorted(set(query) - KNOWN):
        raise ValueError(f"there is no option {' or '.join(unknown)}; there are from and starttls")
    sender = query.get("from", [sender or ""])[-1]
    if "@" not in sender or not sender.isprintable():
        raise ValueError("needs ?from= or MAIL_FROM with the sender's e-mail address")
    # Only a server on this machine is spoken to in the clear, unless the address says so.
    starttls = query.get("starttls", ["0" if parts.hostname in ("localhost", "127.0.0.1", "::1") else "1"])[-1]
    if starttls not in ("0", "1"):
        raise ValueError("starttls must be 0 or 1")
    return MailServer(
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        sender=sender,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_tls=parts.scheme == "smtps",
        is_starttls=parts.scheme == "smtp" and starttls == "1",
    )
