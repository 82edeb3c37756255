"""Every drift statistic by name. Classes are imported when they are built, so listing is cheap."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.drift.base import Setup, Statistic

STATISTICS: Mapping[str, str] = {
    "novelty": "engine.drift.novelty:Novelty",
    "jensen_shannon": "engine.drift.jensen_shannon:JensenShannon",
    "psi": "engine.drift.psi:Psi",
    "adwin": "engine.drift.adwin:Adwin",
    "kswin": "engine.drift.kswin:Kswin",
    "mmd": "engine.drift.mmd:Mmd",
    "precision": "engine.drift.precision:Precision",
    "mistakes": "engine.drift.mistakes:Mistakes",
    "corrections": "engine.drift.corrections:Corrections",
}
"""Module and class of each statistic."""


def statistic_class(name: str) -> "type[Statistic]":
    """The class of a name in `STATISTICS`."""
    module, _, found = STATISTICS[name].partition(":")
    made: type[Statistic] = getattr(import_module(module), found)
    return made


def build(name: str, setup: "Setup") -> "Statistic":
    """A statistic of that name without a reference."""
    return statistic_class(name)(setup)
