# ruff: noqa: INP001  # a script by itself
"""Asks pip-audit about a lock file and says what it found: `audit.py PIP_AUDIT LOCK`.

pip-audit calls a package that it could not look up "skipped" and then finds "no known vulnerabilities". Whoever reads that
would take silence for good news, so here every package must have been looked up. Exit codes: 0 only when all of them were
and none is known to be vulnerable, 1 when one is, 2 when that could not be found out.
"""

import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

FOUND, UNKNOWN = 1, 2
OPTIONS = ("--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")


def main(pip_audit: str, lock: str) -> int:
    """Print what is known and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [pip_audit, "--requirement", lock, *OPTIONS, "--output", str(report)], capture_output=True, text=True, check=False
        )
        try:
            packages: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
        except (OSError, ValueError):
            reason = textwrap.shorten((done.stderr.strip().splitlines() or ["it said nothing"])[-1], 150, placeholder=" ...")
            return tell(f"Nothing was audited: the vulnerability service could not be asked ({reason}).", UNKNOWN)
    return judge(packages, lock)


def judge(packages: list[dict[str, Any]], lock: str) -> int:
    """Say what pip-audit's report means."""
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    vulnerable = [(package, vuln) for package in packages for vuln in package.get("vulns", [])]
    for package, vuln in vulnerable:
        fixes = ", ".join(vuln["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {vuln['id']}, fixed by {fixes}.")  # noqa: T201  # what it is for
    if len(skipped) == len(packages):
        return tell(
            "Nothing was audited: the vulnerability service could not be reached, or knows none of the packages.", UNKNOWN
        )
    if skipped:
        tell(f"Not audited, because the vulnerability service does not know them: {', '.join(skipped)}.", UNKNOWN)
    audited = f"of {len(packages) - len(skipped)} packages in {lock}"
    if vulnerable:
        names = {package["name"] for package, _ in vulnerable}
        return tell(f"{len(names)} {audited} are vulnerable.", FOUND)
    return tell(f"None {audited} has a known vulnerability.", UNKNOWN if skipped else 0)


def tell(sentence: str, code: int) -> int:
    """Print a sentence; return the code that goes with it."""
    print(sentence)  # noqa: T201  # what it is for
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
