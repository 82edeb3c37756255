from collections.abc import Callable

import numpy as np
import pytest

from engine.compiled.memory import LineMemory
from engine.compiled.read import number_messages
from engine.compiled.words import PAD, padded
from engine.formats.masks import Mask, Masker
from engine.formats.registry import FORMATS
from engine.parsing.format_tables import FormatTables


@pytest.fixture(scope="session")
def numbered() -> Callable[[tuple[Mask, ...], list[str]], list[str]]:
    """Masks messages by compiled masks; those beyond ASCII stay as they are and are masked by `re`."""
    known: dict[tuple[Mask, ...], FormatTables] = {}
    memory = LineMemory(256)

    def mask(masks: tuple[Mask, ...], messages: list[str]) -> list[str]:
        tables = known.setdefault(masks, FormatTables([FORMATS["raw"]], [()], [masks], [[0]]))
        beyond = [not message.isascii() for message in messages]
        texts = [Masker(masks).mask(m) if b else m for m, b in zip(messages, beyond, strict=True)]
        raw = [text.encode() for text in texts]
        found, done = np.zeros(len(raw), np.int32), 0
        ends = np.cumsum([len(text) for text in raw], dtype=np.int64)
        while done < len(raw):
            memory.make_room(4096)
            done = number_messages(
                tables.tables, memory.known, memory.room, padded(b"".join(raw))[PAD:], ends,
                np.zeros(len(raw), np.int64), np.array(beyond), done, found,
            )  # fmt: skip
        places = memory.known.texts[found, 1:3].tolist()
        return [memory.known.bytes[start : start + size].tobytes().decode() for start, size in places]

    return mask
