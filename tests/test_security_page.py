"""docs/security.md names tests that exist, and all of OWASP's items are tried."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_exists():
    named = NAMED.findall(PAGE)

    assert len(named) > 50
    for file, function in named:
        assert (ROOT / file).exists(), file
        assert not function or function in functions(ROOT / file), f"{file}::{function}"


def test_every_promise_has_its_test():
    rows = [row for row in PAGE.splitlines() if row.startswith("| ")]
    promises = [row for row in rows if not re.match(r"\| (promise|who|a |another|an )", row)]

    assert len(promises) > 30
    assert [row for row in promises if not NAMED.search(row)] == []


def test_every_item_of_owasps_list_is_tried():
    tried = {re.match(r"test_api(\d+)_", name) for name in functions(ROOT / "tests" / "api" / "test_owasp.py")}

    assert {int(found[1]) for found in tried if found} == set(range(1, 11))
