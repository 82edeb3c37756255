"""The configuration reference, written from the settings themselves: `python -m engine.docs.configuration`."""

import enum
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from engine.settings import CoordinatorSettings, RegionSettings
from foundation.settings_errors import models_in, tag_of

HEAD = """\
# Configuration

One TOML file a region, checked by `driftline check region.toml`. Every key can also be given by the environment:
`DRIFTLINE_<SECTION>__<KEY>`, such as `DRIFTLINE_SOURCE__SASL_PASSWORD`; it wins over the file, and secrets belong
there. Unknown keys are refused. Relative paths count from the folder that the command is started in. This page is
written by `python -m engine.docs.configuration` from the settings; do not edit it.
"""


COORDINATOR = """\
# Configuration of the coordinator

One more TOML file, for `driftline federate coordinator`; the same rules hold.
"""


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *_page(RegionSettings), COORDINATOR, *_page(CoordinatorSettings)])


def _page(settings: type[BaseModel]) -> Iterator[str]:
    yield "## Top level\n"
    yield _table(settings, skip_sections=True)
    for name, field in settings.model_fields.items():
        found = models_in(field.annotation)
        if not found:
            continue
        heading = f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]"
        yield f"## `{heading}`\n\n{field.description}\n"
        told = "" if settings is RegionSettings and name in _SHARED else _told_above(found)
        if told:
            yield told
            continue
        for model in found:
            yield from _section(name, model)


_SHARED = ("source", "sinks", "dead_letters", "telemetry", "log")
"""Sections whose settings other sections take over; they are told once, there."""


def _told_above(models: list[type[BaseModel]]) -> str:
    """Where a section's keys stand already, "" where they do not."""
    for name in _SHARED:
        if models == models_in(RegionSettings.model_fields[name].annotation):
            return f"The keys are those of `[{name}]` above.\n"
    return ""


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    tag = tag_of(model)
    if tag is not None and tag[1] != "PydanticUndefined":
        yield f'### `{name}` with `{tag[0]} = "{tag[1]}"`\n'
        yield f"{(model.__doc__ or '').strip().splitlines()[0]}\n"
    yield _table(model)
    for key, field in model.model_fields.items():
        nested_models = models_in(field.annotation)
        if told := _told_above(nested_models) if nested_models else "":
            yield f"#### `{name}.{key}`\n\n{told}"
            continue
        for nested in nested_models:
            yield f"#### `{name}.{key}`\n"
            yield f"{(nested.__doc__ or '').strip().splitlines()[0]}\n"
            yield _table(nested)


def _table(model: type[BaseModel], *, skip_sections: bool = False) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if skip_sections and models_in(field.annotation):
            continue
        text = (field.description or "").replace("|", "\\|").replace("\n", " ")
        rows.append(f"| `{name}` | {_kind(field)} | {_default(field)} | {text} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        if field.default_factory is None:
            return "**required**"
        value = field.default_factory()  # type: ignore[call-arg]
    if value is None:
        return "not set"
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "see below" if value and isinstance(value[0], BaseModel) else f"`{list(value)}`"
    return f"`{value}`" if str(value) else "empty"


def _kind(field: FieldInfo) -> str:
    limits = [_limit(m) for m in field.metadata]
    return " ".join([_type(field.annotation), *filter(None, limits)])


def _limit(metadata: Any) -> str:
    if isinstance(metadata, annotated_types.Ge):
        return f"≥ {metadata.ge}"
    if isinstance(metadata, annotated_types.Gt):
        return f"> {metadata.gt}"
    if isinstance(metadata, annotated_types.Le):
        return f"≤ {metadata.le}"
    if isinstance(metadata, annotated_types.Lt):
        return f"< {metadata.lt}"
    return ""


_NAMES = {str: "text", SecretStr: "secret", int: "whole number", float: "number", bool: "true or false", Path: "path"}


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(a) for a in get_args(annotation) if a is not NoneType))
    if origin is tuple:
        return f"list of {_type(get_args(annotation)[0])}"
    if origin is not None:
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | enum.Enum):
        return "table"
    return _NAMES.get(annotation, getattr(annotation, "__name__", "value"))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/configuration.md")
    target.write_text(reference(), "utf-8")
    print(f"{target} written")
