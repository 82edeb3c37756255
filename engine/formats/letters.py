r"""Text of bytes that may not be UTF-8.

Such bytes are letters of Windows-1252, which contains ISO 8859-1, as programs without UTF-8 write them. Spelt out as
`\xe9`, they would put numbers into the words of a message, and each word would be a template of its own.
"""

import codecs


def text_of(raw: bytes) -> str:
    """Bytes as text; those that are not UTF-8 as letters of Windows-1252."""
    return raw.decode("utf-8", _ERRORS)


def _letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in wrong), error.end


_ERRORS = "driftline.letters"
codecs.register_error(_ERRORS, _letters)
