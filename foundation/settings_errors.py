"""Faults: what pydantic found wrong with settings, in one sentence each.

A sentence names the place (file or environment variable), the key, the value where that helps and is
no secret, and what would be accepted.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from foundation.secret_masker import SecretMasker

_EXPECTED = {
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "model_type": "should be a table of keys",
    "model_attributes_type": "should be a table of keys",
    "dict_type": "should be a table of keys",
}
_SHOWN_CHARS = 200


def sentences(error: ValidationError, model: type[BaseModel], origin: str, environ: Mapping[str, str]) -> list[str]:
    """One sentence a fault.

    Args:
        error: What validation of `model` raised.
        model: The settings as a whole.
        origin: Name of the file that the settings came from.
        environ: Settings given by environment variables are named by the variable, upper case.
    """
    faults = [_Fault(fault, model) for fault in error.errors(include_url=False)]
    deeper = [fault.key for fault in faults]
    found = []
    for fault in faults:
        # That a list is too short or of another shape only follows from what is wrong inside it.
        if fault.consequence and any(key.startswith(f"{fault.key}.") for key in deeper):
            continue
        variable = fault.variable(environ)
        found.append(f"{f'environment variable {variable}' if variable else origin}: {fault.key}: {fault.reason()}")
    return list(dict.fromkeys(found))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that a field of this type may hold, also inside unions, lists and tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", None) or () for model in models_in(part)]


def tag_of(model: type[BaseModel]) -> tuple[str, str] | None:
    """The key and value by which settings choose this class among others: `type` or `kind`; None without one."""
    for key in ("type", "kind"):
        if key in model.model_fields:
            return key, str(model.model_fields[key].default)
    return None


class _Fault:
    """One entry of `ValidationError.errors`, with its place told in the file's words."""

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
        self.consequence = self._type == "too_short" or self._type in _EXPECTED

    def _walk(self, loc: tuple[int | str, ...]) -> None:
        """Follows the path through the settings classes; pydantic puts the variants of unions into it."""
        for n, part in enumerate(loc):
            last = n == len(loc) - 1
            chosen = [m for m in self._beside if part in ((tag_of(m) or ("", ""))[1], m.__name__)]
            holder = next((m for m in self._beside if part in m.model_fields), None)
            if isinstance(part, int):
                self._path.append(str(part))
            elif chosen and len(loc) > 1 and n > 0:
                self._beside = chosen
            elif last and self._type == "extra_forbidden":
                self._path.append(part)
            elif holder is not None:
                self._path.append(part)
                self._annotation = holder.model_fields[part].annotation
                if not last or self._type.startswith("union_tag"):
                    self._beside = models_in(self._annotation)

    def variable(self, environ: Mapping[str, str]) -> str | None:
        name = "DRIFTLINE_" + "__".join(self._path).upper()
        return name if name in environ else None

    def reason(self) -> str:
        if self._type == "extra_forbidden":
            known = sorted({name for model in self._beside for name in model.model_fields})
            return f"unknown key; known keys are {', '.join(known)}"
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
        return str(SecretMasker().text(f"{wanted}{self._value()}{hint}"))

    def _is_single_table(self) -> bool:
        return self._type in ("tuple_type", "list_type") and isinstance(self._fault["input"], dict)

    def _value(self) -> str:
        value = self._fault["input"]
        if _may_be_secret(self._annotation):
            return ", got ***"
        # A table or a list may hold secrets further inside, and says little.
        return f", got {value!r:.{_SHOWN_CHARS}}" if isinstance(value, str | int | float | bool) else ""


def _may_be_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_may_be_secret, getattr(annotation, "__args__", None) or ()))
