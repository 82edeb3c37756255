"""Hides secrets in text and in plain data, before it is logged or shown."""

import re
from collections.abc import Collection, Mapping
from typing import Any

MASK = "***"

_SECRET_WORD = r"(?:password|passwd|pwd|secret|token(?!s)|credential|api[_.-]?key|private[_.-]?key|authorization)"
_SECRET_FIELD = re.compile(_SECRET_WORD, re.IGNORECASE)
# Repetitions are bounded: text that quotes a foreign line must not make the search quadratic.
_SECRET_TEXT = re.compile(
    rf"({_SECRET_WORD}[\w.-]{{0,40}}[\"']?\s{{0,4}}[=:]\s{{0,4}}(?:(?:bearer|basic)\s)?)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^\s/:@]{0,256}):[^\s/]{1,256}@")
# Shorter ones would mask parts of innocent words.
_MIN_SECRET_CHARS = 4


class SecretMasker:
    """Replaces secrets in text and in nested plain data."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        """`secrets`: values to hide wherever they stand; those under four characters are not searched for."""
        known = sorted((s for s in secrets if len(s) >= _MIN_SECRET_CHARS), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        return _SECRET_TEXT.sub(rf"\1{MASK}", text)

    def field(self, name: str, value: Any) -> Any:
        """A field's value as JSON-compatible data without secrets."""
        if _SECRET_FIELD.search(name):
            return MASK
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.field(str(k), v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.field("", v) for v in value]
        return self.text(value if isinstance(value, str) else str(value))
