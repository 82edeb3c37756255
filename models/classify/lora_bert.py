"""LoRA-BERT: a frozen BERT whose queries and values are bent by adapters of low rank, and a linear head.

Papers: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021,
https://arxiv.org/abs/2106.09685; adapters by peft, https://github.com/huggingface/peft. Kumar et
al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", 2022,
https://arxiv.org/abs/2202.10054 (the head first, then all).

What differs here, and why:

* The head is first trained alone, on vectors of the frozen encoder, which are computed once. That
  takes a second, and the epochs that go through the BERT start from a head that is already trained;
  from a random one, as many epochs end well below (measured on the seven-class set).
* A template with many messages trains with a few of them, which carry the weight of the others:
  a pass through the BERT is the price of every text in every epoch.
* Only adapters and head are weights: what a federated round sends is a hundredth of the encoder.

Shapes: B lines, H hidden size of the encoder, C classes.
"""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from models.classify.base import CLASSES, Lines
from models.classify.finetune_encoder import TunedBert, adapted, needed_bert
from models.classify.neural import Centred, Encode, Examples, NeuralClassifier, NeuralSettings
from models.text.ragged import distinct
from models.training.splits import stratified
from models.training.train_loop import LoopSettings, train_network


class LoraBertSettings(NeuralSettings):
    """Architecture and training of a LoRA-BERT."""

    rank: Annotated[int, Field(ge=1)] = Field(8, description="Rank of an adapter.")
    alpha: Annotated[int, Field(ge=1)] = Field(
        16, description="Scaling of an adapter (alpha): its output is multiplied by alpha / rank."
    )
    layers: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Number of last layers of the encoder with adapters; all if not given. Fewer layers train faster.",
    )
    texts_per_template: Annotated[int, Field(ge=1)] = Field(
        2, description="Maximum number of distinct messages of a template to train on, the most frequent ones."
    )
    most_texts: Annotated[int, Field(ge=1)] = Field(
        4000,
        description="Maximum number of distinct messages to train on; if there are more, a share of each "
        "class is drawn.",
    )
    head: LoopSettings = Field(
        default=LoopSettings.model_validate({"epochs": 100, "learning_rate": 1e-2}),
        description="Training of the head alone, before the adapters are added.",
    )
    training: LoopSettings = Field(
        default=LoopSettings.model_validate({"epochs": 4, "patience": 2, "batch_size": 32, "learning_rate": 3e-3}),
        description="Training of adapters and head together.",
    )


class LoraBertNetwork(nn.Module):
    """The adapters, and the head over what the adapted encoder gives."""

    def __init__(self, hidden: int, bert: TunedBert) -> None:
        super().__init__()
        self.bert = bert
        self.centred = Centred(hidden)
        self.head = nn.Linear(hidden, len(CLASSES))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Mean states (B, H) → logits (B, C)."""
        logits: torch.Tensor = self.head(self.centred(pooled))
        return logits


_QUICK = {"epochs": 8, "batch_size": 16, "learning_rate": 0.01}


class LoraBert(NeuralClassifier):
    """The classifier."""

    name = "lora_bert"
    requires = ("peft",)
    check_settings = (
        {"training": _QUICK, "head": _QUICK},
        {"training": _QUICK, "head": _QUICK, "layers": 1, "most_texts": 20},
    )

    def __init__(self, settings: LoraBertSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        """Opens the encoder.

        Raises:
            ModelSettingsError: it is not a BERT, or has fewer layers than are to be adapted.
        """
        super().__init__(settings, device=device, cache=cache)
        self.options = settings
        needed_bert(self._encoder, settings.layers)

    def _network(self) -> LoraBertNetwork:
        options = self.options
        bert = adapted(self._encoder, rank=options.rank, alpha=options.alpha, layers=options.layers)
        return LoraBertNetwork(self._encoder.hidden, bert)

    def _read(self, lines: Lines, encode: Encode) -> tuple[str, ...]:
        return self._texts(lines)

    def _logits(self, network: LoraBertNetwork, read: Sequence[str], index: NDArray[np.int64]) -> torch.Tensor:
        logits: torch.Tensor = network(network.bert([read[i] for i in index.tolist()]))
        return logits

    def _chosen(
        self, lines: Lines, labels: NDArray[np.int64], weights: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        groups = list(zip(lines.templates, labels.tolist(), strict=True))
        kept, shared = heaviest(groups, weights, self.options.texts_per_template)
        if len(kept) > self.options.most_texts:
            drawn = stratified(labels[kept], self.options.most_texts / len(kept), seed)[1]
            kept, shared = kept[drawn], shared[drawn]
        return kept, shared

    def _begin(self, network: LoraBertNetwork, examples: Examples, seed: int) -> None:
        vectors = torch.from_numpy(self._vectors.of(examples.read)).to(self._device)  # (n, H)
        network.centred.learn(vectors)

        def loss(index: NDArray[np.int64]) -> torch.Tensor:
            return examples.cross_entropy(network(vectors[torch.from_numpy(index).to(self._device)]), index)

        train_network(network.head, len(examples), loss, None, self.options.head, seed=seed)


def heaviest(
    groups: Sequence[Hashable], weights: NDArray[np.float64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The heaviest members of each group, at most `most`, with the weight of those left out shared among them.

    Returns:
        int64 (m,), ascending: index of those kept; float64 (m,): their weights, of the same sum in each group.
    """
    _, group = distinct(groups)
    order = np.lexsort((np.arange(len(group)), -weights, group))
    start = np.searchsorted(group[order], group[order])
    kept = np.sort(order[np.arange(len(order)) - start < most])
    total, left = np.bincount(group, weights), np.bincount(group[kept], weights[kept])
    return kept, weights[kept] * (total / left)[group[kept]]
