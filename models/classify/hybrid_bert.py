"""Hybrid-BERT: what a BERT makes of a line next to what can be counted in it and its template.

Paper: Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016,
https://arxiv.org/abs/1606.07792: features that name a thing remember it, embeddings carry what was
learnt to things alike, and a network on both does each where it can.

What differs here, and why:

* Both go into one hidden layer, so that a word can mean one thing in one kind of text and another
  in the next; in the paper the features have a linear way of their own.
* The features are those of the classifiers on trees (`models.classify.features`), so that the two
  kinds are compared on the same ground: words that distinguish classes, the level, and counts such
  as the parameters of the template.
* The encoder's vector is scaled as a whole, since its axes mean nothing by themselves; features are
  scaled one by one.

Shapes: B lines, H hidden size of the encoder, F features, M hidden size of the head, C classes.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from models.classify.base import CLASSES, Lines
from models.classify.features import LineFeatures
from models.classify.neural import Centred, Encode, Examples, NeuralClassifier, NeuralSettings
from models.training.train_loop import LoopSettings

_WIDEST = 10.0
"""Deviations from the mean that a feature may have: a rare word has a hundred, and would drown all else."""


class HybridBertSettings(NeuralSettings):
    """Architecture and training of a Hybrid-BERT."""

    words: Annotated[int, Field(ge=0)] = Field(400, description="Maximum number of words that are features.")
    mixed: Annotated[int, Field(ge=1)] = Field(256, description="Size of the head's hidden layer.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.2, description="Dropout of that layer, in training.")
    training: LoopSettings = Field(
        default=LoopSettings.model_validate({"epochs": 40, "patience": 15, "learning_rate": 3e-3}),
        description="How the network is trained.",
    )


class HybridBertNetwork(nn.Module):
    """The head."""

    def __init__(self, hidden: int, features: int, settings: HybridBertSettings) -> None:
        super().__init__()
        self.meaning = Centred(hidden)
        self.counted = Centred(features)
        self.head = nn.Sequential(
            nn.Linear(hidden + features, settings.mixed),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.mixed, len(CLASSES)),
        )

    def forward(self, vectors: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Vectors (B, H) and features (B, F) → logits (B, C)."""
        counted = self.counted(features).clamp(-_WIDEST, _WIDEST)
        logits: torch.Tensor = self.head(torch.cat([self.meaning(vectors), counted], 1))  # (B, H + F) → (B, M) → (B, C)
        return logits


_QUICK = {"epochs": 8, "batch_size": 16, "learning_rate": 0.01}


class HybridBert(NeuralClassifier):
    """The classifier."""

    name = "hybrid_bert"
    check_settings = (
        {"encoder": "hashing:32", "mixed": 16, "training": _QUICK},
        {"encoder": "hashing:32", "mixed": 16, "training": _QUICK, "words": 0},
    )

    def __init__(self, settings: HybridBertSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        super().__init__(settings, device=device, cache=cache)
        self.options = settings
        self._features = self._new_features()

    def _new_features(self) -> LineFeatures:
        return LineFeatures(self._vectors, words=self.options.words, axes=0)

    def _network(self) -> HybridBertNetwork:
        return HybridBertNetwork(self._encoder.hidden, len(self._features.names), self.options)

    def _keys(self, lines: Lines) -> Sequence[Hashable]:
        return list(zip(lines.templates, lines.messages, lines.levels, strict=True))

    def _read(self, lines: Lines, encode: Encode) -> tuple[torch.Tensor, torch.Tensor]:
        vectors, features = encode(lines.messages), self._features.of(lines)
        return torch.from_numpy(vectors).to(self._device), torch.from_numpy(features).to(self._device)

    def _logits(
        self, network: HybridBertNetwork, read: tuple[torch.Tensor, torch.Tensor], index: NDArray[np.int64]
    ) -> torch.Tensor:
        at = torch.from_numpy(index).to(self._device)
        logits: torch.Tensor = network(read[0][at], read[1][at])
        return logits

    def _learn(self, lines: Lines, labels: NDArray[np.int64]) -> None:
        super()._learn(lines, labels)
        self._features.fit(lines, labels)

    def _begin(self, network: HybridBertNetwork, examples: Examples, seed: int) -> None:
        network.meaning.learn(examples.read[0])
        network.counted.learn(examples.read[1], each=True)

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `Model.load_weights`; the words that have a feature are among `extra`."""
        before, self._features = self._features, self._new_features()
        try:
            self._features.load(**self._features.weights(), extra=extra)
            super().load_weights(weights, extra)
        except BaseException:
            self._features = before
            raise

    def extra(self) -> dict[str, Any]:
        """The encoder, and the words that have a feature."""
        return super().extra() | self._features.extra()
