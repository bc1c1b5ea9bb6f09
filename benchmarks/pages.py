"""The dashboard's pages, signed in, on the demo tenant in two sizes; and what the first page weighs."""

import argparse
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from urllib.parse import urljoin

import httpx

from benchmarks.stage import Stage

SMALL = 10_000
ENTRIES_EACH = 10
TIMES = 15
MOST_GROWTH, MOST_SECONDS, MOST_BYTES = 5.0, 0.4, 150_000
MOST_GROWTH_OF_REPORTS = 2.0
LITTLE = 0.005  # seconds; growth of what takes less says nothing
ADMIN = "admin@demo.example"
TOKEN = re.compile(r'name="csrf_token"\s+value="([^"]+)"')
LOADED = re.compile(r'<(?:script[^>]* src|link[^>]*? href)="([^"]+\.(?:js|css|woff2))(?:\?[^"]*)?"')


def pages() -> dict[str, str]:
    """The main pages, with what people ask of them."""
    today = datetime.now(UTC).date()
    month, year = today - timedelta(days=30), today - timedelta(days=364)
    return {
        "overview": "/dashboard/",
        "participants": "/dashboard/participants",
        "participants by balance": "/dashboard/participants?sort=-balance",
        "participants by part of an id": "/dashboard/participants?q=costa12",
        "participants by start of an id": "/dashboard/participants?q=user_1",
        "participants of a tier": "/dashboard/participants?tier=gold",
        "profile": "/dashboard/participants/user_123",
        "ledger": "/dashboard/ledger",
        "ledger of a month": f"/dashboard/ledger?from={month}&to={today}",
        "ledger of a year": f"/dashboard/ledger?from={year}&to={today}",
        "ledger of a participant": "/dashboard/ledger?participant=user_123",
        "ledger of reversals": "/dashboard/ledger?type=award_reversal",
        "tiers": "/dashboard/tiers",
        "developers": "/dashboard/developers",
        "API keys": "/dashboard/keys",
        "people": "/dashboard/people",
        "audit log": "/dashboard/audit",
        "settings": "/dashboard/settings",
    } | {
        f"report: {name}": f"/dashboard/reports{path}"
        for name, path in {
            "roll-forward of a month": f"?from={month}&to={today}&unit=day",
            "roll-forward of a year": f"?from={year}&to={today}&unit=month",
            "roll-forward by tier": f"?from={year}&to={today}&unit=month&by=tier",
            "roll-forward by reason": f"?from={year}&to={today}&unit=month&by=reason",
            "roll-forward by key": f"?from={year}&to={today}&unit=month&by=key",
            "roll-forward against a year before": f"?from={month}&to={today}&unit=day&compare=year",
            "liability": f"/liability?from={year}&to={today}&unit=month",
            "tiers": f"/tiers?from={year}&to={today}&unit=month",
            "behaviour": f"/activity?from={year}&to={today}&unit=month",
        }.items()
    }


@dataclass
class Figures:
    """Seconds each page took, at the median, and the bytes of the first one."""

    participants: int
    seconds: dict[str, float] = field(default_factory=dict)
    first_bytes: int = 0


def measure(participants: int) -> tuple[list[Figures], list[dict]]:
    """Measure at the small size and with so many participants; return the figures and the bars."""
    figures = [_of_size(size) for size in (SMALL, participants)]
    return figures, _judge(*figures)


def show(figures: list[Figures]) -> None:
    small, large = figures
    print(f"{'milliseconds, median':34} {small.participants:>12,} {large.participants:>12,} participants")
    for name, seconds in large.seconds.items():
        print(f"{name:34} {small.seconds[name] * 1000:12.1f} {seconds * 1000:12.1f}")


def _of_size(participants: int) -> Figures:
    folder = Path(tempfile.mkdtemp(prefix="gamify-pages-"))
    stage = Stage(folder)
    try:
        began = time.monotonic()
        entries = participants * ENTRIES_EACH
        said = stage.gamify("demo", "--participants", str(participants), "--entries", str(entries))
        print(
            f"The demo with {participants:,} participants and {entries:,} entries took {time.monotonic() - began:.0f} s.",
            flush=True,
        )
        password = re.search(rf"{ADMIN} +(\S+)", said)[1]  # type: ignore[index]
        with httpx.Client(base_url=stage.serve(), headers={"Accept-Encoding": "br, gzip"}, timeout=60) as client:
            _sign_in(client, password)
            seconds = {name: _seconds(client, path) for name, path in pages().items()}
            return Figures(participants, seconds, _weight(client))
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)


def _sign_in(client: httpx.Client, password: str) -> None:
    token = TOKEN.search(client.get("/dashboard/sign-in").text)[1]  # type: ignore[index]
    form = {"csrf_token": token, "email": ADMIN, "password": password}
    if client.post("/dashboard/sign-in", data=form).status_code != 303:
        raise SystemExit("the admin of the demo could not sign in")


def _seconds(client: httpx.Client, path: str) -> float:
    times = []
    for _ in range(TIMES + 2):
        began = time.perf_counter()
        answer = client.get(path)
        times.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code}")
    return median(times[2:])


def _weight(client: httpx.Client) -> int:
    """Bytes of the first page with all it loads, as they are sent."""
    html = client.get("/dashboard/")
    loaded = {urljoin(str(html.url), address) for address in LOADED.findall(html.text)}
    return sum(_sent(client, address) for address in {str(html.url), *loaded})


def _sent(client: httpx.Client, address: str) -> int:
    with client.stream("GET", address) as answer:
        answer.raise_for_status()
        return sum(len(part) for part in answer.iter_raw())


def _judge(small: Figures, large: Figures) -> list[dict]:
    slowest = max(large.seconds, key=lambda name: large.seconds[name])
    growth = {name: seconds / max(small.seconds[name], LITTLE) for name, seconds in large.seconds.items()}
    reports = {name: times for name, times in growth.items() if name.startswith("report:")}
    grown = max(growth, key=lambda name: growth[name])
    report = max(reports, key=lambda name: reports[name])
    return [
        _bar(f"milliseconds of the slowest page ({slowest})", large.seconds[slowest] * 1000, MOST_SECONDS * 1000),
        _bar(f"times that a page grows from {SMALL:,} participants ({grown})", growth[grown], MOST_GROWTH),
        _bar(
            f"times that a report grows from {SMALL * ENTRIES_EACH:,} entries ({report})", reports[report], MOST_GROWTH_OF_REPORTS
        ),
        _bar("bytes of the first page", large.first_bytes, MOST_BYTES),
    ]


def _bar(text: str, value: float, most: float) -> dict:
    return {"text": text, "value": value, "bound": f"at most {most:g}", "met": value <= most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=1_000_000)
    figures, bars = measure(parser.parse_args().participants)
    show(figures)
    for bar in bars:
        print(f"{'met' if bar['met'] else 'MISSED':7} {bar['text']}: {bar['value']:.2f} ({bar['bound']})")
    raise SystemExit(not all(bar["met"] for bar in bars))


if __name__ == "__main__":
    main()
