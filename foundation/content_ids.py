"""Ids made of content: the same content has the same id in every process, region and version.

All of them are blake2b digests. They are kept in model stores, databases and topics, so none may change.
"""

import hashlib

_SEPARATOR = "\x1f"
"""Unit separator of ASCII, which no part of an id contains in practice."""


def digest(content: bytes, size_bytes: int, person: bytes = b"") -> bytes:
    """Return the blake2b digest of `content`, `size_bytes` long (1 to 64).

    Args:
        content: What is identified.
        size_bytes: 8 where ids only spread evenly or meet few others, 16 where no two may ever be equal.
        person: At most 16 bytes that make this use of digests independent of all others.
    """
    return hashlib.blake2b(content, digest_size=size_bytes, person=person).digest()


def text_digest(text: str, size_bytes: int = 8) -> bytes:
    """Return the digest of a text, which may contain lone surrogates (undecodable bytes of a file name)."""
    return digest(text.encode("utf-8", "surrogatepass"), size_bytes)


def document_id(*parts: object) -> str:
    """Return the id of a document, 32 hex digits, from the values that make it what it is.

    A document that is made again after a restart gets the same id, so readers can drop the second one.
    """
    return text_digest(_SEPARATOR.join(map(str, parts)), 16).hex()
