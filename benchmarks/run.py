"""`make bench`: every workload in interleaved rounds, medians, and the ratios that the product promises."""

import argparse
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from gamify import models
from gamify.services import verification

from benchmarks import load, neighbour, pages, recalculation
from benchmarks.stage import Stage, Tenant

HERE = Path(__file__).parent
API = "/api/v1/gamify"
RESULTS = HERE / "results"
dice = random.Random(1)


@dataclass
class Workload:
    """Requests of one kind against one server; each counts as `each` movements or reads."""

    name: str
    url: str
    request: Callable[[], bytes]
    each: int = 1


@dataclass
class Bar:
    """A promise: one workload's figure over another's must reach a ratio (or stay under it)."""

    text: str
    figure: str
    over: str
    least: float = 0.0
    most: float = float("inf")


def main() -> None:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="gamify-bench-"))
    stage = Stage(folder)
    try:
        report = _measure(stage, options)
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)
    if not options.only or "pages" in options.only:
        _pages(report, options.participants)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(report, indent=2))
    sys.exit(0 if all(bar["met"] for bar in report["bars"]) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument(
        "--large", type=int, default=1_000_000, help="participants of the large tenant, entries of the long history"
    )
    parser.add_argument("--participants", type=int, default=1_000_000, help="of the demo whose pages are measured")
    parser.add_argument("--requests", type=int, default=200_000, help="for the memory of a worker")
    parser.add_argument("--only", nargs="*", help="workloads by name")
    return parser.parse_args()


def _measure(stage: Stage, options: argparse.Namespace) -> dict:
    print(_machine(stage), flush=True)
    began = time.monotonic()
    plain = stage.tenant("plain", participants=10_000)
    bare, yard = stage.tenant("bare", participants=10_000), stage.tenant("yard", participants=10_000)
    large = stage.tenant("large", participants=options.large)
    stage.long_history(plain, options.large)
    many = [stage.tenant(f"many-{n}", participants=1_000) for n in range(100)]
    stage.gamify("rollups", "rebuild")  # what was filled in was not written by the ledger's functions
    stage.sql("VACUUM ANALYZE")
    print(f"Filled in {time.monotonic() - began:.0f} s; {options.rounds} rounds of {options.seconds:g} s each.", flush=True)

    workloads = _workloads(stage, plain, large, many, yard, options.large)
    chosen = [w for w in workloads if not options.only or w.name in options.only]
    figures: dict[str, list[float]] = defaultdict(list)
    for workload in chosen:
        load.run(workload.url, workload.request, seconds=1.5)  # warm-up
    for number in range(options.rounds):
        figures["pgbench"].append(
            stage.pgbench(HERE / "bare_award.sql", seconds=max(2, int(options.seconds)), clients=load.CLIENTS, tenant=bare)
        )
        for workload in chosen:
            done = load.run(workload.url, workload.request, seconds=options.seconds)
            bad = sum(n for status, n in done.statuses.items() if status != 200)
            if bad:
                raise SystemExit(f"{workload.name}: {dict(done.statuses)}")
            figures[workload.name].append(done.rate * workload.each)
        print(f"  round {number + 1}", flush=True)
        stage.sql("CHECKPOINT")
    for name, values in figures.items():
        print(f"{name:24} {median(values):10,.0f} a second   {min(values):10,.0f} – {max(values):,.0f}")
    bars = [_judge(bar, figures) for bar in BARS if bar.figure in figures and bar.over in figures]
    if not options.only:
        bars += [_wal(stage, workloads), *_memory(stage, workloads, options.requests), _neighbour(stage, workloads)]
        of_large = next(w for w in workloads if w.name == "awards of a million")
        bars.append(recalculation.measure(stage, of_large.url, of_large.request, large))
    bars.append(_verify(stage, [plain, large, *many]))
    for bar in bars:
        _say(bar)
    return {"machine": _machine(stage), "figures": dict(figures), "bars": bars}


def _pages(report: dict, participants: int) -> None:
    """Measure the dashboard's pages, on servers of their own."""
    figures, bars = pages.measure(participants)
    pages.show(figures)
    for bar in bars:
        _say(bar)
    report["pages"] = {f"{each.participants:,} participants": each.seconds for each in figures}
    report["bars"] += bars


def _say(bar: dict) -> None:
    print(f"{'met' if bar['met'] else 'MISSED':7} {bar['text']}: {bar['value']:.2f} ({bar['bound']})")


def _workloads(  # noqa: PLR0917  # its one caller has them all at hand
    stage: Stage, plain: Tenant, large: Tenant, many: list[Tenant], yard: Tenant, length: int
) -> list[Workload]:
    ours, alone = stage.serve(), stage.serve(GAMIFY_GATHERING="false")
    unsummed = stage.serve(GAMIFY_ROLLUPS="false")
    constant, yardstick = stage.serve("benchmarks.constant:create"), stage.serve_yardstick()

    def history(page: int) -> Callable[[], bytes]:
        return lambda: load.get(f"{API}/participants/long/points/transactions?page={page}&page_size=20", plain.key)

    return [
        Workload("yardstick", yardstick, lambda: _award(yard, 10_000)),
        Workload("awards", ours, lambda: _award(plain, 10_000)),
        Workload("awards without rollups", unsummed, lambda: _award(plain, 10_000)),
        Workload("awards alone", alone, lambda: _award(plain, 10_000)),
        Workload("awards on one", ours, lambda: _award(plain, 1)),
        Workload("deducts", ours, lambda: _award(plain, 10_000, "deduct", 1)),
        Workload("batches of 100", ours, lambda: _batch(plain, 10_000), each=100),
        Workload("awards of a million", ours, lambda: _award(large, length)),
        Workload("100 tenants alone", alone, lambda: _award(dice.choice(many), 1_000)),
        Workload("100 tenants", ours, lambda: _award(dice.choice(many), 1_000)),
        Workload("balance", ours, lambda: load.get(f"{API}/participants/user_{dice.randint(1, 10_000)}/points", plain.key)),
        Workload("constant", constant, lambda: load.get(f"{API}/constant", plain.key)),
        Workload("history page 1", ours, history(1)),
        Workload("history page 100", ours, history(100)),
        Workload("history page 50,000", ours, history(max(1, length // 20))),
    ]


def _award(tenant: Tenant, participants: int, kind: str = "award", amount: int = 100) -> bytes:
    return load.post(f"{API}/points/{kind}", tenant.key, json.dumps(_movement(participants, amount)).encode())


def _batch(tenant: Tenant, participants: int) -> bytes:
    awards = [_movement(participants, 100) for _ in range(100)]
    return load.post(f"{API}/points/award-batch", tenant.key, json.dumps({"awards": awards}).encode())


def _movement(participants: int, amount: int) -> dict[str, object]:
    return {
        "participant_id": f"user_{dice.randint(1, participants)}",
        "amount": amount,
        "reason": "Purchase completed",
        "idempotency_key": f"purchase_{dice.getrandbits(64):016x}",
    }


BARS = [
    Bar("awards over the yardstick", "awards", "yardstick", least=8),
    Bar("awards alone over pgbench", "awards alone", "pgbench", least=0.15),
    Bar("awards gathered over pgbench", "awards", "pgbench", least=0.20),
    Bar("awards over those without rollups in the background", "awards", "awards without rollups", least=0.95),
    Bar("awards on one participant over awards", "awards on one", "awards", least=0.7),
    Bar("deducts over awards", "deducts", "awards", least=0.9),
    Bar("awards in batches over pgbench", "batches of 100", "pgbench", least=1.1),
    Bar("awards in batches over awards alone", "batches of 100", "awards alone", least=4),
    Bar("balance over a constant", "balance", "constant", least=0.5),
    Bar("first page of history over page 100", "history page 1", "history page 100", most=1.3),
    Bar("first page of history over page 50,000", "history page 1", "history page 50,000", most=1.3),
    Bar("awards among a million over awards", "awards of a million", "awards", least=0.85),
    Bar("awards of 100 tenants over awards, both alone", "100 tenants alone", "awards alone", least=0.85),
]


def _judge(bar: Bar, figures: dict[str, list[float]]) -> dict:
    """Ratios are taken round by round, so a slow minute of the machine hits both sides."""
    value = median(a / b for a, b in zip(figures[bar.figure], figures[bar.over], strict=True))
    bound = f"at least {bar.least:g}" if bar.least else f"at most {bar.most:g}"
    return {"text": bar.text, "value": value, "bound": bound, "met": bar.least <= value <= bar.most}


def _wal(stage: Stage, workloads: list[Workload]) -> dict:
    """WAL of awards that arrive one by one, each in a transaction of its own; and what summing them up adds."""
    alone = next(w for w in workloads if w.name == "awards alone")
    plain = stage.serve(GAMIFY_GATHERING="false", GAMIFY_ROLLUPS="false")
    stage.gamify("rollups", "advance")
    stage.sql("CHECKPOINT")
    load.run(plain, alone.request, seconds=2)
    stretches, awarded = [], 0
    since = stage.position()
    for _ in range(3):  # the splits of an index come in waves
        done = load.run(plain, alone.request, seconds=3).statuses[200]
        until = stage.position()
        stretches.append([each / done for each in stage.wal_bytes(since, until)])
        since, awarded = until, awarded + done
    records, images = (median(each) for each in zip(*stretches, strict=True))
    stage.gamify("rollups", "advance")
    summed = stage.wal_bytes(until, stage.position())[0] / awarded
    text = f"bytes of WAL records an award (full-page images: {images:.0f} more; summing it up: {summed:.0f} more)"
    return {"text": text, "value": records, "bound": "at most 1100", "met": records <= 1_100}


def _memory(stage: Stage, workloads: list[Workload], requests: int) -> list[dict]:
    """Memory of the busiest worker halfway and at the end."""
    awards = next(w for w in workloads if w.name == "awards")
    sizes, sent = [], 0
    for goal in (requests // 2, requests):
        while sent < goal:
            sent += sum(load.run(awards.url, awards.request, seconds=5).statuses.values())
        sizes.append(max(stage.memory(awards.url)))
    grown = sizes[1] - sizes[0]
    return [
        {
            "text": f"MiB of a worker after {requests:,} requests",
            "value": sizes[1],
            "bound": "at most 150",
            "met": sizes[1] <= 150,
        },
        {"text": "MiB grown over the second half", "value": grown, "bound": "at most 5", "met": grown <= 5},
    ]


def _neighbour(stage: Stage, workloads: list[Workload]) -> dict:
    """What a tenant that sends too much costs another."""
    awards = next(w for w in workloads if w.name == "awards")
    noisy = stage.tenant("noisy", limit=neighbour.LIMIT)
    return neighbour.measure(awards.url, awards.request, noisy.key)


def _verify(stage: Stage, tenants: list[Tenant]) -> dict:
    """All that the rounds have written must follow from the ledger."""
    entries, wrong = 0, 0
    for tenant in tenants:
        with stage.database.transaction() as session:
            found = session.get_one(models.Tenant, tenant.id)
        with stage.database.transaction() as session:
            verification.begin(session, found)
            report = verification.verify(session, found)
        entries, wrong = entries + report.entry_count, wrong + len(report.differences)
    text = f"differences that verify finds in {entries:,} entries of {len(tenants)} tenants"
    return {"text": text, "value": wrong, "bound": "at most 0", "met": not wrong}


def _machine(stage: Stage) -> str:
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
    settings = ", ".join(f"{name} {stage.sql(f'SHOW {name}')[0][0]}" for name in names)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Python {platform.python_version()}, granian with 2 workers, PostgreSQL: {settings}"


if __name__ == "__main__":
    main()
