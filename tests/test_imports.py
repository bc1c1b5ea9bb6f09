"""The folder `platform/` is a source root; the name stays the standard library's."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "arguments", [["-c", "import platform; print(platform.python_version())"], ["-m", "pytest", "--version"], ["-m", "platform"]]
)
def test_the_standard_librarys_platform_is_found_from_the_repository(arguments):
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr


def test_the_source_root_is_no_package():
    assert not (ROOT / "platform" / "__init__.py").exists()
