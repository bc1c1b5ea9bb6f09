"""`make audit` says what pip-audit found, and never takes silence for good news."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "audit.py"
FINE = {"name": "flask", "version": "3.1.0", "vulns": []}
BAD = {"name": "jinja2", "version": "3.0.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1.6"], "description": "x"}]}
SKIPPED = {"name": "click", "skip_reason": "Dependency not found on PyPI and could not be audited: click (8.1)"}


def audited(tmp_path: Path, report: object, *, code: int = 0, stderr: str = "") -> tuple[int, str]:
    """Run the script on a pip-audit that answers so."""
    stand_in = tmp_path / "pip-audit"
    stand_in.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"sys.stderr.write({stderr!r})\n"
        f"if {report is not None}: open(sys.argv[sys.argv.index('--output') + 1], 'w').write({json.dumps(report)!r})\n"
        f"sys.exit({code})\n"
    )
    stand_in.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(stand_in), "requirements.lock"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("packages", "code", "sentences"),
    [
        ([FINE], 0, ["None of 1 packages in requirements.lock has a known vulnerability."]),
        ([FINE, BAD], 1, ["jinja2 3.0.0: PYSEC-1, fixed by 3.1.6.", "1 of 2 packages in requirements.lock are vulnerable."]),
        ([SKIPPED], 2, ["Nothing was audited: the vulnerability service could not be reached, or knows none of the packages."]),
        (
            [FINE, SKIPPED],
            2,
            [
                "Not audited, because the vulnerability service does not know them: click.",
                "None of 1 packages in requirements.lock has a known vulnerability.",
            ],
        ),
        ([], 2, ["Nothing was audited: the vulnerability service could not be reached, or knows none of the packages."]),
    ],
)
def test_it_says_what_was_found_and_what_was_not_looked_at(tmp_path, packages, code, sentences):
    assert audited(tmp_path, {"dependencies": packages, "fixes": []}) == (code, "\n".join(sentences) + "\n")


def test_a_service_that_cannot_be_reached_is_told_in_one_sentence(tmp_path):
    code, said = audited(tmp_path, None, code=1, stderr="Traceback\n  many lines\nConnectionError: no route to pypi.org\n")

    assert code == 2
    expected = "Nothing was audited: the vulnerability service could not be asked (ConnectionError: no route to pypi.org)."
    assert said == f"{expected}\n"
