"""How messages of a format become templates: its masks and similarity together with those of the settings."""

from functools import cache

from engine.formats.base import Format
from engine.formats.masks import Masker
from engine.formats.registry import FORMATS
from engine.parsing.format_detection import UNKNOWN_FORMAT
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.template_settings import TemplateSettings


def template_rules(format: Format, settings: ParseSettings) -> TemplateSettings:
    """The template settings for messages of a format: those given, and what the format itself asks for."""
    rules = settings.templates
    similarity = max(rules.similarity, format.similarity)
    return rules.model_copy(update={"masks": format.masks + rules.masks, "similarity": similarity})


def masked_message(format: str, message: str) -> str:
    """The masked message of a record under default settings, as the parser mines a template from it.

    Args:
        format: Name of its format, "" where it is not known.
        message: As `engine.offline.export` writes it: in formats of text, what joined a line follows its first
            line end, and no template is mined from it.
    """
    masker, most, textual = _default_masks(format)
    return masker.mask((message.partition("\n")[0] if textual else message)[:most])


@cache
def _default_masks(format: str) -> tuple[Masker, int, bool]:
    """Masks of a format, characters that are looked at, and whether its records are lines of text."""
    settings, entry = ParseSettings(), FORMATS.get(format, UNKNOWN_FORMAT)
    rules = template_rules(entry, settings)
    textual = bool(format) and (entry.header is not None or entry.joins)
    return Masker(rules.masks, http=entry.http), settings.max_message_bytes, textual
