"""Settings classes as Markdown tables: key, type with limits, default, meaning."""

import enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from foundation.settings_errors import keys_of, models_in


def settings_table(model: type[BaseModel], *, skip_sections: bool = False) -> str:
    """A Markdown table of the keys of a settings class; `skip_sections` leaves out keys that hold settings classes."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in keys_of(model).items():
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


def first_sentence(documented: type) -> str:
    """The first line of a class's docstring."""
    return (documented.__doc__ or "").strip().splitlines()[0]
