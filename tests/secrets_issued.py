"""Every secret that the suite has issued or typed, and every line that was logged meanwhile."""

import re
from pathlib import Path

from flask import Flask, Response, request, request_finished
from structlog.stdlib import ProcessorFormatter

KEY = re.compile(r"gk_(?:live|test)_[0-9A-Za-z]{38}")
PRINTED_PASSWORD = re.compile(r'(?:^Password: |"password": ")([^"\s]+)', re.MULTILINE)
SHORTEST = 12  # what is shorter stands in logs by chance
TYPED = ("password", "new_password", "csrf_token", "code")
# Without MAIL_URL nobody would ever see a link, so that one is logged.
MEANT_TO_BE_SHOWN = "; the link is "

secrets: set[str] = set()
lines: list[str] = []
files: list[Path] = []


def note(*found: str | None) -> None:
    """Remember secrets."""
    secrets.update(one for one in found if one and len(one) >= SHORTEST)


def note_printed(text: str) -> None:
    """Remember the keys and passwords that a command has printed."""
    note(*KEY.findall(text), *PRINTED_PASSWORD.findall(text))


def note_cookies(sent: list[str]) -> None:
    """Remember the values of Set-Cookie headers."""
    note(*(header.partition(";")[0].partition("=")[2] for header in sent))


def watch() -> None:
    """Note what every app of this process is sent and sends, and what it logs."""
    request_finished.connect(_note_request)
    written = ProcessorFormatter.format

    def keep(self: ProcessorFormatter, record: object) -> str:
        line: str = written(self, record)  # type: ignore[arg-type]
        lines.append(line)
        return line

    ProcessorFormatter.format = keep  # type: ignore[method-assign,assignment]


def leaks() -> list[str]:
    """The lines with a secret in them, which is not repeated."""
    everything = [*lines, *(line for file in files for line in file.read_text(errors="replace").splitlines())]
    suspects = [line for line in everything if MEANT_TO_BE_SHOWN not in line]
    whole = "\n".join(suspects)
    found = [secret for secret in secrets if secret in whole]
    return [line.replace(secret, "<SECRET>") for secret in found for line in suspects if secret in line]


def _note_request(_app: Flask, response: Response, **_: object) -> None:
    note_cookies(response.headers.getlist("Set-Cookie"))
    note(*KEY.findall(request.headers.get("X-API-Key", "")))
    if request.path.startswith("/dashboard/"):
        note(*(request.form.get(name) for name in TYPED), (request.view_args or {}).get("token"))
