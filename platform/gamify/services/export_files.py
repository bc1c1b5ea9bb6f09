"""The folder of exports, which all machines of a deployment share: whole files by number, and folders of those in the making."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = "draft"


def place(root: Path, tenant_id: int, export_id: int, ending: str) -> Path:
    """Where a file lies once it is whole."""
    return root / str(tenant_id) / f"{export_id}.{ending}"


@contextmanager
def making(root: Path, tenant_id: int, export_id: int, run: int) -> Iterator[Path]:
    """A folder to make a file in, which is gone at the end.

    Those of earlier runs go before: whoever is cut off from the database and still writes there can then put nothing in place.
    """
    for left in (root / str(tenant_id)).glob(f"{export_id}.*.{DRAFT}"):
        shutil.rmtree(left, ignore_errors=True)
    made = root / str(tenant_id) / f"{export_id}.{run}.{DRAFT}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    made.parent.mkdir(mode=0o700, exist_ok=True)
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def settle(draft: Path) -> None:
    """Have a file on the disk, before anybody says that it is whole."""
    with draft.open("rb") as written:
        os.fsync(written.fileno())


def remove(root: Path, tenant_id: int, export_id: int) -> None:
    """Remove whatever there is of a file."""
    for found in (root / str(tenant_id)).glob(f"{export_id}.*"):
        _remove(found)


def remove_strays(root: Path, tenant_id: int, known: Collection[int]) -> None:
    """Remove what belongs to no export that is known: somebody was killed before they could."""
    for found in (root / str(tenant_id)).glob("*"):
        number = found.name.partition(".")[0]
        if not (number.isdecimal() and int(number) in known):
            _remove(found)


def remove_all(root: Path, tenant_id: int) -> None:
    """Remove every file of a tenant."""
    shutil.rmtree(root / str(tenant_id), ignore_errors=True)


def _remove(found: Path) -> None:
    if found.is_dir():
        shutil.rmtree(found, ignore_errors=True)
    else:
        found.unlink(missing_ok=True)
