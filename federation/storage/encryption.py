"""Encryption of the training store: AES-256-GCM with a key, plain bytes without."""

import base64
import binascii
import hmac
import os

from federation.errors import SetupError, StorageError
from foundation.content_ids import digest
from foundation.extras import require

KEY_BYTES = 32
NONCE_BYTES = 12
DIGEST_BYTES = 16


def decode_key(text: str) -> bytes:
    """Decode the 32 bytes of a key in base64.

    Raises:
        SetupError: the text is not such a key; it is not repeated in the message.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SetupError(
            f"the training store's key must be {KEY_BYTES} random bytes in base64 (44 characters), "
            "as `openssl rand -base64 32` prints them"
        )
    return key


class PlainCipher:
    """Without a key: content is stored as it is, names as plain hashes."""

    def encrypt(self, data: bytes, name: bytes) -> bytes:
        """The bytes to store for `data`."""
        return data

    def decrypt(self, stored: bytes, name: bytes) -> bytes:
        """The data of stored bytes."""
        return stored

    def digest(self, name: bytes) -> bytes:
        """16 bytes that replace a name (a session key, a template)."""
        return digest(name, DIGEST_BYTES)


class AesCipher:
    """With a key: content is encrypted and bound to its row, names are keyed hashes."""

    def __init__(self, key: bytes) -> None:
        """Derive two keys from `key`, 32 bytes: one for content and one for names.

        Raises:
            MissingExtraError: the extra `federation` is not installed.
        """
        require("federation", "the encryption of the training store")
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derived = HKDF(hashes.SHA256(), 2 * KEY_BYTES, salt=None, info=b"driftline training store").derive(key)
        self._cipher = AESGCM(derived[:KEY_BYTES])
        self._names = derived[KEY_BYTES:]

    def encrypt(self, data: bytes, name: bytes) -> bytes:
        """Nonce and ciphertext; decrypted with the same `name` only."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, name)

    def decrypt(self, stored: bytes, name: bytes) -> bytes:
        """The data of stored bytes.

        Raises:
            StorageError: they belong to another key or another row; the caller adds the name of the file.
        """
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], name)
        except (InvalidTag, ValueError) as error:
            raise StorageError("encrypted with another key, or changed since") from error

    def digest(self, name: bytes) -> bytes:
        """See `PlainCipher.digest`; truncated HMAC-SHA256."""
        return hmac.digest(self._names, name, "sha256")[:DIGEST_BYTES]


StoreCipher = PlainCipher | AesCipher
