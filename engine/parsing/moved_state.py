"""A parser's saved state under other settings of `[parse]`: learnt templates are kept, whatever read the lines.

A template stays known under its text. Lines that new masks or rules describe differently get templates of their own.
"""

from typing import Any

import orjson

from engine.formats.registry import AUTO
from engine.parsing.format_detection import Preference
from engine.parsing.line_reader import formats_of
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.template_rules import template_rules

_HELD = ("journal", "blocks", "pieces")
"""What is held of a record that is not complete."""


def moved(snapshot: bytes, before: str, settings: ParseSettings) -> bytes:
    """The snapshot for a parser with other settings.

    Args:
        snapshot: Result of `Parser.snapshot`.
        before: The setting `parse.format` under which it was made.
        settings: The settings from now on.

    Raises:
        ValueError: the format has changed, and the state holds the beginning of a record of the old one.
    """
    saved: dict[str, Any] = orjson.loads(snapshot)
    names = ("settings", "born", "now", "texts")
    lanes = saved["lanes"] if before == AUTO else {before: {name: saved[name] for name in names}}
    rest = {k: v for k, v in saved.items() if k not in (*names, "lanes", "preference")}
    if settings.format != before:
        if any(saved.get(name) for name in _HELD):
            raise ValueError("the state holds the beginning of a record; start the engine with the old format until "
                             "the record is complete")  # fmt: skip
        rest = {"repeated": saved["repeated"]}
    rules = {f.name: template_rules(f, settings).model_dump(mode="json") for f in formats_of(settings)}
    if settings.format != AUTO:
        own = lanes.get(settings.format) or (next(iter(lanes.values())) if len(lanes) == 1 else {})
        lane = {"born": [], "now": [], "texts": [], **own, "settings": rules[settings.format]}
        return orjson.dumps({**rest, **lane})
    kept = {name: {**lane, "settings": rules[name]} for name, lane in lanes.items() if name in rules}
    preference = saved.get("preference", Preference().snapshot())
    return orjson.dumps({**rest, "lanes": kept, "preference": preference})


def without_records(snapshot: bytes) -> bytes:
    """The snapshot's templates alone, for a source that continues elsewhere."""
    saved = orjson.loads(snapshot)
    names = ("settings", "born", "now", "texts", "lanes", "preference")
    return orjson.dumps({name: saved[name] for name in names if name in saved})
