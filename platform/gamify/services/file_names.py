"""Names of files that every system takes, in whatever language they are."""

import re
import unicodedata

LONGEST = 120  # characters; no system takes more than 255 bytes, and a letter can be four
# What paths, shells and Windows have another use for.
FORBIDDEN = re.compile(r'[<>:"/\\|?*\s]+')
# Names that Windows gives to devices, whatever ending follows.
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
LEFT_OUT = ("C",)  # controls, marks that turn the direction of writing, surrogates, letters that nobody has assigned


def sane(name: str, ending: str, *, otherwise: str = "file") -> str:
    """Return a name with its ending. Letters of all languages stay; `otherwise` stands for a name without any."""
    kept = "".join(letter for letter in unicodedata.normalize("NFC", name) if _is_kept(letter))
    kept = FORBIDDEN.sub(" ", kept).strip(" .")
    kept = _shortened(kept).strip(" .") or otherwise
    return f"{'_' if DEVICES.fullmatch(kept) else ''}{kept}.{ending}"


def _is_kept(letter: str) -> bool:
    return letter in "\t\r\n" or not unicodedata.category(letter).startswith(LEFT_OUT)


def _shortened(name: str) -> str:
    """Cut a name where it is too long in characters, or in bytes of a file system."""
    return name[:LONGEST].encode()[: 2 * LONGEST].decode(errors="ignore")
