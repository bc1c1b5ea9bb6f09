"""What values may hold, through whichever door they come; each rule returns a sentence, or None if the value keeps to it."""

import re

LARGEST_AMOUNT = 1_000_000
LONGEST_ID, LONGEST_NAME, LONGEST_REASON, LONGEST_KEY = 255, 200, 500, 255

KEY = re.compile(rf"[A-Za-z0-9_:.-]{{1,{LONGEST_KEY}}}")
WHITE_SPACE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # Unicode's White_Space


def text_problem(text: str) -> str | None:
    """PostgreSQL can hold neither U+0000 nor lone surrogates."""
    if "\0" in text or not (text.isascii() or _is_encodable(text)):
        return "Must be Unicode text without the character U+0000."
    return None


def participant_id_problem(text: str) -> str | None:
    """An id is any text but white space alone."""
    length = None if 1 <= len(text) <= LONGEST_ID else f"Must have 1 to {LONGEST_ID} characters."
    return text_problem(text) or length or unreachable_id_problem(text)


def unreachable_id_problem(text: str) -> str | None:
    """An id must be something that a URL can carry and a person can see."""
    if text in (".", ".."):
        return "Cannot be . or .., which no URL can carry."
    return "Cannot be white space only." if WHITE_SPACE.fullmatch(text) else None


def name_problem(text: str) -> str | None:
    """What a participant is called must be something to see."""
    length = None if 1 <= len(text) <= LONGEST_NAME else f"Must have 1 to {LONGEST_NAME} characters."
    return text_problem(text) or length or ("Cannot be white space only." if WHITE_SPACE.fullmatch(text) else None)


def key_problem(text: str) -> str | None:
    """An idempotency key is made of what needs no quoting anywhere."""
    return None if KEY.fullmatch(text) else f"Must have 1 to {LONGEST_KEY} of the characters A-Z a-z 0-9 _ - : ."


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
