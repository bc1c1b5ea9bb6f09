"""The file itself: a ZIP of JSON lines with a manifest that says what must be in it."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from gamify.errors import FieldError, Invalid

FORMAT, VERSION = "gamify tenant archive", 1
MANIFEST = "manifest.json"
LONGEST_LINE = 64 * 1024 * 1024  # bytes; an answer to a batch of a hundred is the longest there is
LARGEST_MANIFEST = 1024 * 1024
LEVEL = 4  # of compression: six takes twice as long for a few per cent
PIECE = 1024 * 1024


class Writer:
    """An archive on its way; the manifest is written last."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = ZipFile(file, "w", ZIP_DEFLATED, compresslevel=LEVEL)
        self._files: list[dict[str, Any]] = []

    def add(self, name: str, pieces: Iterable[list[str]]) -> int:
        """Add a file of lines, which come in pieces; return how many there were."""
        digest, line_count, size = hashlib.sha256(), 0, 0
        with self._zip.open(name, "w", force_zip64=True) as file:
            for lines in pieces:
                content = "".join(f"{line}\n" for line in lines).encode()
                file.write(content)
                digest.update(content)
                line_count, size = line_count + len(lines), size + len(content)
        self._files.append({"name": name, "lines": line_count, "bytes": size, "sha256": digest.hexdigest()})
        return line_count

    def close(self, **about: Any) -> None:
        """Write the manifest, with what is to be said about the archive."""
        said = {"format": FORMAT, "version": VERSION, **about, "files": self._files}
        self._zip.writestr(MANIFEST, json.dumps(said, indent=2, ensure_ascii=False) + "\n")
        self._zip.close()


class Reader:
    """An archive as its manifest has it. Raises `Invalid` for whatever is not what it should be."""

    def __init__(self, zip_file: ZipFile) -> None:
        self._zip = zip_file
        self.manifest = self._read_manifest()
        self.line_counts: dict[str, int] = {file["name"]: file["lines"] for file in self.manifest["files"]}

    def check(self, expected: Iterable[str]) -> None:
        """Compare everything with the manifest, before anything is believed."""
        for name in expected:
            if name not in self.line_counts:
                raise _invalid(f"The manifest lacks {name}.")
        for file in self.manifest["files"]:
            digest = hashlib.sha256()
            with self._open(file["name"]) as content:
                while piece := content.read(PIECE):
                    digest.update(piece)
            if digest.hexdigest() != file["sha256"]:
                raise _invalid(f"{file['name']} is not what the manifest says: it is damaged, or was changed.")

    def pieces(self, name: str, *, at_once: int) -> Iterator[list[str]]:
        """Yield the lines of a file, so many at a time."""
        with self._open(name) as content:
            lines: list[str] = []
            while line := content.readline(LONGEST_LINE):
                lines.append(line.decode())
                if len(lines) == at_once:
                    yield lines
                    lines = []
            if lines:
                yield lines

    def _read_manifest(self) -> dict[str, Any]:
        with self._open(MANIFEST) as file:
            try:
                found = json.loads(file.read(LARGEST_MANIFEST))
                is_ours, version = found["format"] == FORMAT, found["version"]
                complete = all({"name", "lines", "sha256"} <= file.keys() for file in found["files"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _invalid("The manifest cannot be read.") from error
        if not is_ours or not complete:
            raise _invalid("This is not an archive of a tenant.")
        if version != VERSION:
            raise _invalid(f"It has version {version} of the format; this release reads version {VERSION}.")
        manifest: dict[str, Any] = found
        return manifest

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._zip.open(name) as file:
                yield file
        except KeyError as error:
            raise _invalid(f"It lacks {name}.") from error
        except (BadZipFile, EOFError, NotImplementedError) as error:
            raise _invalid(f"{name} is damaged.") from error


@contextmanager
def reading(file: IO[bytes]) -> Iterator[Reader]:
    """Open an archive. Raises `Invalid` for a file that is none."""
    try:
        opened = ZipFile(file)
    except BadZipFile as error:
        raise _invalid("This is not a ZIP file.") from error
    with opened:
        yield Reader(opened)


def _invalid(message: str) -> Invalid:
    return Invalid([FieldError("archive", message)])
