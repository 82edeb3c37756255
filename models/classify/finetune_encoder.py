"""A BERT of which a part is trained, for classifiers that adapt the encoder itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.base import ModelSettingsError
from models.text.encoder import BertEncoder, Encoder, mean_state, token_batches

_TOKENS = 768
"""Tokens of one pass, padding counted: training on one core was fastest from 512 to 1024."""


class TunedBert(nn.Module):
    """Texts in, their normalised mean states out, as the encoder gives them, with gradients.

    Only what is trained belongs to the module's state: frozen weights are the encoder's, and shared
    with it. The BERT itself never drops out, so the same text gives the same vector in training too.
    """

    def __init__(self, encoder: BertEncoder, bert: Any) -> None:
        """Trains those parameters of `bert`, a twin of the encoder's, that ask for a gradient."""
        super().__init__()
        self._tokens = encoder.tokens
        self._bert = [bert]  # in a list, so that torch does not count its frozen weights as the module's
        self.trained = nn.ParameterDict(
            {name.replace(".", "/"): p for name, p in bert.named_parameters() if p.requires_grad}
        )

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → (B, H), in their order; read by length, within a budget of tokens."""
        rows = self._tokens(texts)
        order: list[int] = []
        parts = []
        for index in token_batches([len(row) for row in rows], _TOKENS):
            parts.append(mean_state(self._bert[0], [rows[i] for i in index]))
            order += index
        back = torch.from_numpy(np.argsort(order)).to(parts[0].device)
        return functional.normalize(torch.cat(parts)[back], dim=1)


def last_layers(encoder: Encoder, count: int) -> TunedBert:
    """The encoder with its last `count` layers trained.

    Raises:
        ModelSettingsError: see `needed_bert`.
    """
    bert = needed_bert(encoder, count)
    marks = tuple(f"encoder.layer.{i}." for i in range(bert.layers - count, bert.layers))
    return TunedBert(bert, bert.twin(lambda name: name.startswith(marks)))


def adapted(encoder: Encoder, *, rank: int, alpha: int, layers: int | None) -> TunedBert:
    """The encoder, frozen, with LoRA adapters on the queries and values of its last layers.

    Args:
        encoder: A BERT.
        rank: Of each adapter's two matrices.
        alpha: What an adapter adds is scaled by this over `rank`.
        layers: How many of the last; None for all.

    Raises:
        ModelSettingsError: see `needed_bert`.
    """
    from peft import LoraConfig, inject_adapter_in_model

    bert = needed_bert(encoder, layers)
    first = bert.layers - (layers or bert.layers)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=["query", "value"], layers_to_transform=list(range(first, bert.layers))
    )
    return TunedBert(bert, inject_adapter_in_model(config, bert.twin(lambda _: False)))


def needed_bert(encoder: Encoder, layers: int | None) -> BertEncoder:
    """The encoder, if it is a BERT of at least that many layers.

    Raises:
        ModelSettingsError: it is not.
    """
    if not isinstance(encoder, BertEncoder):
        raise ModelSettingsError(f"encoder '{encoder.name}' has no layers to train; a BERT such as minilm is needed")
    if layers is not None and layers > encoder.layers:
        raise ModelSettingsError(f"encoder '{encoder.name}' has {encoder.layers} layers, not {layers}")
    return encoder
