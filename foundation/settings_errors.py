"""Invalid settings: the errors that pydantic reports, in one sentence each.

A sentence names the place (file, environment variable or option), the key, the value where that helps and is
not a secret, and what would be accepted.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from foundation.errors import DriftlineError
from foundation.secret_masker import SecretMasker

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "model_type": "should be a table of keys",
    "model_attributes_type": "should be a table of keys",
    "dict_type": "should be a table of keys",
    "string_type": "should be text",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
}
_CONTAINERS = frozenset({"tuple_type", "list_type", "model_type", "model_attributes_type", "dict_type", "too_short"})
_SHOWN_CHARS = 200


class InvalidSettingsError(DriftlineError):
    """Settings have an unknown key or a value that cannot be used."""


def validated(model: type[M], values: Mapping[str, Any], origin: str) -> M:
    """The settings with these values.

    Args:
        model: The settings class.
        values: Values by key; defaults where absent.
        origin: Where the values come from, for the message, such as `--window-set`; "" where the key states enough.

    Raises:
        InvalidSettingsError: a key is unknown, missing, or has a value that cannot be used.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = "; ".join(sentences(error, model, "", {}))
        raise InvalidSettingsError(f"{origin}: {faults}" if origin else faults) from error


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence that a name is unknown, with the nearest known one.

    Args:
        kind: What the name should name, such as `format`.
        name: The unknown name.
        known: All names that exist.
    """
    names = list(known)
    return f"unknown {kind} {name!r}{_nearest(name.lower(), names)}; known are {', '.join(names)}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def sentences(error: ValidationError, model: type[BaseModel], origin: str, environ: Mapping[str, str]) -> list[str]:
    """One sentence for each error.

    Args:
        error: Raised by the validation of `model`.
        model: The settings as a whole.
        origin: Name of the file that the settings come from, or "".
        environ: Settings given by environment variables are named by the variable, upper case.
    """
    faults = [_Fault(fault, model) for fault in error.errors(include_url=False)]
    deeper = [fault.key for fault in faults]
    found = []
    for fault in faults:
        # That a list is too short or of another shape only follows from an error inside it.
        if fault.consequence and any(key.startswith(f"{fault.key}.") for key in deeper):
            continue
        variable = fault.variable(environ)
        place = f"environment variable {variable}" if variable else origin
        found.append(": ".join(filter(None, (place, fault.key, fault.reason()))))
    return list(dict.fromkeys(found))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that a field of this type may hold, also inside unions, lists and tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", None) or () for model in models_in(part)]


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a settings class by the key that files name them with."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def tag_of(model: type[BaseModel]) -> tuple[str, str] | None:
    """The key and value by which settings choose this class among others: `type` or `kind`; None without one."""
    for key in ("type", "kind"):
        if key in model.model_fields:
            return key, str(model.model_fields[key].default)
    return None


class _Fault:
    """One entry of `ValidationError.errors`, with its place as the file names it."""

    def __init__(self, fault: Any, model: type[BaseModel]) -> None:
        self._fault = fault
        self._type: str = fault["type"]
        self._path: list[str] = []
        self._beside: list[type[BaseModel]] = [model]
        self._annotation: Any = None
        self._walk(fault["loc"])
        if self._type.startswith("union_tag"):
            self._path.append(fault["ctx"]["discriminator"].strip("'"))
        self.key = ".".join(self._path) or "settings"
        self.consequence = self._type in _CONTAINERS

    def _walk(self, loc: tuple[int | str, ...]) -> None:
        """Follow the path through the settings classes; pydantic includes the variants of unions in it."""
        for n, part in enumerate(loc):
            last = n == len(loc) - 1
            chosen = [m for m in self._beside if part in ((tag_of(m) or ("", ""))[1], m.__name__)]
            holder = next((m for m in self._beside if part in keys_of(m)), None)
            if isinstance(part, int):
                self._path.append(str(part))
            elif chosen and len(loc) > 1 and n > 0:
                self._beside = chosen
            elif last and self._type == "extra_forbidden":
                self._path.append(part)
            elif holder is not None:
                self._path.append(part)
                self._annotation = keys_of(holder)[part].annotation
                if not last or self._type.startswith("union_tag"):
                    self._beside = models_in(self._annotation)

    def variable(self, environ: Mapping[str, str]) -> str | None:
        name = "DRIFTLINE_" + "__".join(self._path).upper()
        return name if name in environ else None

    def reason(self) -> str:
        if self._type == "extra_forbidden":
            known = sorted({name for model in self._beside for name in keys_of(model)})
            return f"unknown key{_nearest(self._path[-1], known)}; known keys are {', '.join(known)}"
        if self._type == "missing":
            return "missing; it has to be set"
        if self._type.startswith("union_tag"):
            tags = ", ".join(tag[1] for model in self._beside if (tag := tag_of(model)))
            if self._type == "union_tag_not_found":
                return f"missing; it has to be one of {tags}"
            return f"should be one of {tags}, got {self._fault['ctx']['tag']!r}"
        said: str = self._fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        wanted = _EXPECTED.get(self._type, said)
        hint = f"; write [[{self.key}]] in place of [{self.key}]" if self._is_single_table() else ""
        named = self._type == "value_error" and repr(self._fault["input"]) in wanted  # by a validator of our own
        got = "" if named else self._value()
        return str(SecretMasker().text(f"{wanted}{got}{hint}"))

    def _is_single_table(self) -> bool:
        return self._type in ("tuple_type", "list_type") and isinstance(self._fault["input"], dict)

    def _value(self) -> str:
        value = self._fault["input"]
        if _may_be_secret(self._annotation):
            return ", got ***"
        # A table or a list may hold secrets further inside.
        return f", got {value!r:.{_SHOWN_CHARS}}" if isinstance(value, str | int | float | bool) else ""


def _may_be_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_may_be_secret, getattr(annotation, "__args__", None) or ()))
