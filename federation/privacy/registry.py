"""Privacy modes by name. A new mode is a file with one class, and one line here."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from federation.errors import SetupError
from federation.privacy.base import PrivacyMode
from federation.privacy.dp import DifferentialPrivacy
from federation.privacy.none import NoPrivacy
from federation.privacy.secagg import SecureAggregation

MODES: Mapping[str, PrivacyMode] = {
    "none": NoPrivacy(),
    "secagg": SecureAggregation(),
    "dp": DifferentialPrivacy(),
}


def _require_known(name: str) -> str:
    if name not in MODES:
        raise ValueError(f"unknown privacy mode '{name}'; known are {', '.join(MODES)}")
    return name


PrivacyModeName = Annotated[str, AfterValidator(_require_known)]
"""Type of a setting that names a mode."""


def privacy_mode(name: str) -> PrivacyMode:
    """The mode called `name`.

    Raises:
        SetupError: there is no such mode.
    """
    try:
        return MODES[_require_known(name)]
    except ValueError as error:
        raise SetupError(str(error)) from error
