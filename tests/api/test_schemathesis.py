"""A machine that has read the API document tries everything it can think of, over TCP."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import Server, TenantUnderTest

# Not that what is valid is accepted: a key that stands for another request and too few points refuse that, rightly.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


def run(server: Server, tenant: TenantUnderTest, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis with a valid key, the same way every time."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/v1/openapi.json"),
        *("--header", f"X-API-Key: {tenant.key}", "--checks", ",".join(CHECKS)),
        *("--generation-deterministic", "--seed", "1", "--no-color", "--warnings", "off"),
        *arguments,
    ]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, timeout=110, check=False)


def test_every_example_is_answered_as_the_document_says(server: Server, tenant: TenantUnderTest, tmp_path: Path):
    tried = run(server, tenant, tmp_path, "--phases", "examples")

    assert tried.returncode == 0, tried.stdout[-20_000:] + tried.stderr


@pytest.mark.long
def test_nothing_it_tries_is_answered_outside_the_document(server: Server, tenant: TenantUnderTest, tmp_path: Path):
    tried = run(server, tenant, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "15")

    assert tried.returncode == 0, tried.stdout[-20_000:] + tried.stderr
