"""The forward pass of a BERT, without `transformers`, whose BERT brings 200 MB of compilers into the process.

Paper: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019,
https://arxiv.org/abs/1810.04805. Only inference, with the last hidden states as the result; what is trained or adapted
goes through `transformers`. A test compares both.

Shapes: B texts, T tokens of the longest, H hidden size, A attention heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import functional

_EMBEDDINGS = (
    "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias",
)  # fmt: skip
_LAYER = (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BertStates:
    """What a BERT gives: the last hidden states (B, T, H)."""

    last_hidden_state: torch.Tensor


@dataclass(frozen=True, slots=True)
class BertPadding:
    """The id of the padding token."""

    pad_token_id: int


class PlainBert:
    """A BERT that was loaded from its files; `device` and `config` are those of the model in `transformers`."""

    def __init__(self, folder: Path, config: Mapping[str, Any], device: str) -> None:
        """Read the weights.

        Raises:
            OSError: the file cannot be read.
            ValueError: an array is missing.
        """
        weights = load_file(folder / "model.safetensors", device)
        self._weights = {name.removeprefix("bert."): value.float() for name, value in weights.items()}
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self.device = torch.device(device)
        self.config = BertPadding(int(config.get("pad_token_id") or 0))
        layers = (f"encoder.layer.{i}.{part}" for i in range(self._layers) for part in _LAYER)
        for name in (*_EMBEDDINGS, *(f"{part}.{kind}" for part in layers for kind in ("weight", "bias"))):
            if name not in self._weights:
                raise ValueError(f"model.safetensors has no array '{name}', which a BERT of this configuration has")

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> "BertStates":
        """The same call as of the model in `transformers`; see `states`."""
        return BertStates(self.states(input_ids, attention_mask))

    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Token ids (B, T), of which `mask` (B, T) are 1 where there is a token → last hidden states (B, T, H)."""
        position = torch.arange(ids.shape[1], device=ids.device)
        w = self._weights
        embedded = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
        states = self._norm("embeddings", embedded + w["embeddings.position_embeddings.weight"][position])
        seen = mask[:, None, None, :] > 0  # (B, 1, 1, T)
        for layer in range(self._layers):
            states = self._layer(f"encoder.layer.{layer}", states, seen)
        return states

    def _layer(self, name: str, states: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", states)
            .view(*states.shape[:2], self._heads, -1)
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )  # (B, A, T, H / A)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)
        states = self._norm(f"{name}.attention.output", self._linear(f"{name}.attention.output.dense", mixed) + states)
        wide = functional.gelu(self._linear(f"{name}.intermediate.dense", states))
        return self._norm(f"{name}.output", self._linear(f"{name}.output.dense", wide) + states)

    def _linear(self, name: str, states: torch.Tensor) -> torch.Tensor:
        return functional.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, states: torch.Tensor) -> torch.Tensor:
        weight, bias = self._weights[f"{name}.LayerNorm.weight"], self._weights[f"{name}.LayerNorm.bias"]
        return functional.layer_norm(states, (states.shape[-1],), weight, bias, self._epsilon)
