"""A noisy neighbour: one tenant sends far more than its limit while another goes on as usual, which should hardly notice.

The noise lasts a minute, as long as the window of a limit, so all that the limit lets through is in it. It comes from a
process of its own; in this one it would slow the very requests that are timed.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from statistics import quantiles

from benchmarks import load

NOISE = 1_000  # requests a second
LIMIT = 5_000  # requests a minute of the noisy tenant
USUAL = 50  # awards a second of the other
CLIENTS = 8  # connections of each
SECONDS = 60.0
AWARD = "/api/v1/gamify/points/award"
BODY = json.dumps({"participant_id": "user_1", "amount": 1}).encode()


def measure(url: str, request: Callable[[], bytes], noisy_key: str, *, seconds: float = SECONDS) -> dict:
    """Time the usual awards before, beside and after the noise; return the bar."""
    before = _usual(url, request, seconds / 2)
    command = [sys.executable, "-m", "benchmarks.neighbour", url, noisy_key, str(seconds)]
    noise = subprocess.Popen(command, stdout=subprocess.PIPE)
    beside = _p95(_usual(url, request, seconds))
    statuses = json.loads(noise.communicate(timeout=seconds)[0])
    quiet = _p95(before + _usual(url, request, seconds / 2))
    sent = sum(statuses.values())
    text = (
        f"p95 of {USUAL} awards a second beside {sent / seconds:,.0f} requests a second of another tenant"
        f" ({statuses.get('429', 0) / sent:.0%} refused) over quiet ({beside * 1e3:.1f} over {quiet * 1e3:.1f} ms)"
    )
    return {"text": text, "value": beside / quiet, "bound": "at most 2", "met": beside <= 2 * quiet}


def _usual(url: str, request: Callable[[], bytes], seconds: float) -> list[float]:
    done = load.run(url, request, seconds=seconds, clients=CLIENTS, rate=USUAL)
    bad = sum(n for status, n in done.statuses.items() if status != 200)
    if bad:
        raise SystemExit(f"usual awards: {dict(done.statuses)}")
    return done.latencies


def _p95(latencies: list[float]) -> float:
    return quantiles(latencies, n=20)[-1]


def _make_noise(url: str, key: str, seconds: float) -> None:
    done = load.run(url, lambda: load.post(AWARD, key, BODY), seconds=seconds, clients=CLIENTS, rate=NOISE)
    print(json.dumps(done.statuses))


if __name__ == "__main__":
    _make_noise(sys.argv[1], sys.argv[2], float(sys.argv[3]))
