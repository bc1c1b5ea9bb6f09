"""Health: the process, and what it needs to work."""

import dataclasses
from pathlib import Path

import pytest
from flask import Flask
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers

from tests.harness import Api, TenantUnderTest, free_port, make_database, settings_for


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_key_and_counts_for_none(api: Api, path: str):
    answer = api.with_key(None).request("GET", path)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert not [name for name in answer.headers if name[0].startswith("X-RateLimit")]


def test_ready_tells_what_it_has_looked_at(api: Api, here: Deployment):
    assert api.request("GET", "/readyz").json == {
        "status": "ready",
        "database": True,
        "migrations": True,
        "redis": True,
        "limiter_fallbacks": here.counters.fallback_count,
    }


def answer_of(app: Flask, path: str) -> tuple[int, dict]:
    try:
        answer = app.test_client().get(path)
        return answer.status_code, answer.json
    finally:
        app.extensions["gamify"].close()


def test_without_redis_it_is_ready(settings: Settings):
    app = create_app(dataclasses.replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}"))

    status, said = answer_of(app, "/readyz")

    assert (status, said["status"], said["redis"]) == (200, "ready", False)


def test_ready_tells_how_many_requests_were_counted_without_redis(settings: Settings, tenant: TenantUnderTest):
    app = create_app(dataclasses.replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}"))
    api = Api(app.test_client(), tenant.key)
    before = api.request("GET", "/readyz").json["limiter_fallbacks"]
    for _ in range(3):
        api.award("p", 1)

    assert (before, answer_of(app, "/readyz")[1]["limiter_fallbacks"]) == (0, 3)


def test_without_a_database_it_is_alive_but_not_ready(settings: Settings):
    away = dataclasses.replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/gamify")

    assert answer_of(create_app(away), "/healthz") == (200, {"status": "ok"})
    status, said = answer_of(create_app(away), "/readyz")
    assert (status, said["database"], said["redis"]) == (503, False, True)


def test_without_migrations_it_is_not_ready(servers: EmbeddedServers, run_folder: Path, template: str, worker_id: str):
    make_database(servers, f"empty_{worker_id}")

    status, said = answer_of(create_app(settings_for(servers, run_folder, f"empty_{worker_id}")), "/readyz")

    assert (status, said["migrations"]) == (503, False)
