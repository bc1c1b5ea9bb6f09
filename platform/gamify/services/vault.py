"""What is kept under `SECRET_KEY`: values that must be read again are encrypted, values that are only compared are digested."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime
from functools import cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Vault:
    """Keys derived from one secret, another for each purpose, so that a value of one is nothing to the next."""

    def __init__(self, secret_key: str) -> None:
        self._secret = secret_key.encode()
        self._key = cache(self._derive)

    def seal(self, purpose: str, value: bytes, *, now: datetime) -> bytes:
        """Encrypt."""
        return self._fernet(purpose).encrypt_at_time(value, int(now.timestamp()))

    def unseal(self, purpose: str, sealed: bytes) -> bytes | None:
        """Decrypt; None if it was sealed under another secret, for another purpose, or not at all."""
        try:
            return self._fernet(purpose).decrypt(sealed)
        except InvalidToken:
            return None

    def unseal_recent(self, purpose: str, sealed: bytes, *, now: datetime, seconds: int) -> bytes | None:
        """Decrypt what was sealed at most `seconds` ago."""
        try:
            return self._fernet(purpose).decrypt_at_time(sealed, seconds, int(now.timestamp()))
        except InvalidToken:
            return None

    def digest(self, purpose: str, text: str) -> bytes:
        """What stands for `text` where it only needs to be recognised: HMAC-SHA256."""
        return hmac.digest(self._key(purpose), text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _fernet(self, purpose: str) -> Fernet:
        return Fernet(urlsafe_b64encode(self._key(purpose)))

    def _derive(self, purpose: str) -> bytes:
        return HKDF(SHA256(), length=32, salt=None, info=f"gamify {purpose}".encode()).derive(self._secret)
