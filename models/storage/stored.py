"""A version read back from the model store."""

from dataclasses import dataclass

from models.base import WindowDetector
from models.classify.base import LineClassifier
from models.storage.model_cards import Card, ClassifierCard


@dataclass(frozen=True, slots=True)
class Stored:
    """A detector ready to score, and its card."""

    detector: WindowDetector
    card: Card


@dataclass(frozen=True, slots=True)
class StoredClassifier:
    """A line classifier ready to classify, and its card."""

    classifier: LineClassifier
    card: ClassifierCard
