"""Samples of calls to the API, in the languages that most programs are written in; each can be run as it stands."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import indent
from typing import Any

PLACEHOLDER = "YOUR_API_KEY"


@dataclass(frozen=True, slots=True)
class Operation:
    """A call to show: `path` comes after the API's address, `body` is sent as JSON."""

    name: str
    title: str
    text: str
    method: str
    path: str
    body: dict[str, Any] | None = None


OPERATIONS = (
    Operation(
        "award",
        "Award points",
        "Creates the participant if need be, and tells of a tier that was reached.",
        "POST",
        "/points/award",
        {"participant_id": "user_123", "amount": 100, "reason": "Purchase completed", "idempotency_key": "order-1001"},
    ),
    Operation(
        "deduct",
        "Deduct points",
        "Refused if there are too few; nothing moves then.",
        "POST",
        "/points/deduct",
        {"participant_id": "user_123", "amount": 30, "reason": "A coffee", "idempotency_key": "coupon-2001"},
    ),
    Operation(
        "batch",
        "Award many at once",
        "Up to 100 awards in one request; one that fails leaves the others alone.",
        "POST",
        "/points/award-batch",
        {"awards": [{"participant_id": "user_123", "amount": 20}, {"participant_id": "user_456", "amount": 50}]},
    ),
    Operation("balance", "Read a balance", "With totals and the tier.", "GET", "/participants/user_123/points"),
    Operation(
        "history",
        "Read the history",
        "Newest first, page by page.",
        "GET",
        "/participants/user_123/points/transactions?page=1&page_size=20",
    ),
    Operation(
        "reverse",
        "Reverse an entry",
        "Takes an award or a deduct back, once; put the transaction_id of its answer into the address.",
        "POST",
        "/points/transactions/TRANSACTION_ID/reverse",
        {"reason": "Order cancelled"},
    ),
    Operation(
        "tier",
        "Read a tier",
        "Since when and why, what the next one takes, and every change.",
        "GET",
        "/participants/user_123/tier",
    ),
    Operation("tiers", "Read your tiers", "The ladder in force, with the points that each tier takes.", "GET", "/tiers"),
    Operation(
        "participants",
        "Find participants",
        "By tier and by part of an id or name, page by page.",
        "GET",
        "/participants?tier=bronze&q=user&limit=20",
    ),
    Operation(
        "roll-forward",
        "Read a report",
        "What points there were, how they moved, and what there are now, day by day; as CSV to whoever accepts text/csv.",
        "GET",
        "/reports/roll-forward?period=last_7_days&unit=day",
    ),
)


def curl(operation: Operation, base: str, key: str) -> str:
    """Return the call for a shell."""
    parts = [f"curl '{base}{operation.path}'", f"-H 'X-API-Key: {key}'"]
    if operation.body is not None:
        parts += ["-H 'Content-Type: application/json'", f"-d '{_literal(operation.body)}'"]
    return " \\\n  ".join(parts)


def python(operation: Operation, base: str, key: str) -> str:
    """Return the call for Python, with the standard library alone."""
    headers = {"X-API-Key": key}
    arguments = [f'"{base}{operation.path}"']
    imports = "import json\nfrom urllib.request import Request, urlopen"
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
        arguments += [f'method="{operation.method}"', f"data=json.dumps({_literal(operation.body)}).encode()"]
    arguments.append(f"headers={_literal(headers)}")
    lines = indent(",\n".join(arguments), "    ")
    return f"{imports}\n\nrequest = Request(\n{lines},\n)\nwith urlopen(request) as answer:\n    print(json.load(answer))"


def javascript(operation: Operation, base: str, key: str) -> str:
    """Return the call for JavaScript, with what comes with every runtime."""
    headers = {"X-API-Key": key}
    options = []
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
        options += [f'method: "{operation.method}"', f"body: JSON.stringify({_literal(operation.body)})"]
    options.append(f"headers: {_literal(headers)}")
    lines = indent(",\n".join(options), "  ")
    call = f'const answer = await fetch("{base}{operation.path}", {{\n{lines},\n}});'
    return f"{call}\nconsole.log(answer.status, await answer.json());"


LANGUAGES: dict[str, tuple[str, Callable[[Operation, str, str], str]]] = {
    "curl": ("curl", curl),
    "python": ("Python", python),
    "javascript": ("JavaScript", javascript),
}


def written(base: str, key: str | None) -> list[tuple[Operation, dict[str, str]]]:
    """Return every operation with its samples by language, under a key or with a word in its place."""
    return [
        (operation, {language: write(operation, base, key or PLACEHOLDER) for language, (_, write) in LANGUAGES.items()})
        for operation in OPERATIONS
    ]


def _literal(value: dict[str, Any]) -> str:
    """What a dictionary looks like in both languages, a member a line if it is long; texts and numbers only."""
    short = json.dumps(value)
    return short if len(short) <= 60 else json.dumps(value, indent=2)  # noqa: PLR2004  # characters beside the rest
