"""LSTM autoencoder: windows with a high reconstruction error are anomalous; trained on normal windows.

Paper: Malhotra et al., "LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection", 2016,
https://arxiv.org/abs/1607.00148.

What differs here, and why:

* What is reconstructed are the embeddings of the templates' texts, centred, scaled, and turned into
  fewer dimensions by a fixed random projection, which keeps their distances (Johnson and
  Lindenstrauss) at a sixth of the cost; begin and end markers are two fixed vectors, so that a
  missing end costs as much as a wrong line.
* The decoder sees the latent vector at every step and nothing of the window itself. Fed with the
  line before, it learns to copy, and what is anomalous is reconstructed as well as what is normal.
* The error of a line is bounded by a square root for large ones (Huber), so that one template far
  from all others does not hide the rest.

Shapes: B windows, T tokens, H hidden size of the encoder, P projection, D state, Z latent vector.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from models.base import FitReport, Progress, TrainingData, Windows
from models.detectors.next_template import held_out, unrepeated
from models.detectors.torch_detector import TorchDetector
from models.text.embeddings import BEGIN, FIRST_TEMPLATE, EmbeddingTable
from models.text.ragged import marked, rectangles
from models.training.train_loop import LoopSettings, seeded, train_network


class LstmAutoencoderSettings(BaseModel):
    """Architecture and training of an LSTM autoencoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field("minilm", description="Text encoder: minilm, a folder, a hub name, hashing or hashing:SIZE.")
    projection: Annotated[int, Field(ge=1)] = Field(64, description="Size to which embeddings are projected.")
    hidden: Annotated[int, Field(ge=1)] = Field(96, description="Size of the state of both LSTMs.")
    latent: Annotated[int, Field(ge=1)] = Field(32, description="Size of the vector that represents a window.")
    training: LoopSettings = Field(
        default=LoopSettings.model_validate(
            {"epochs": 90, "max_steps": 1200, "patience": 10, "batch_size": 64, "learning_rate": 5e-3}
        ),
        description="How the network is trained.",
    )


class LstmAutoencoderNetwork(nn.Module):
    """The network."""

    shift: torch.Tensor
    scale: torch.Tensor
    basis: torch.Tensor
    markers: torch.Tensor

    def __init__(self, hidden: int, settings: LstmAutoencoderSettings) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(hidden))
        self.register_buffer("scale", torch.ones(1))
        size = settings.projection
        self.register_buffer("basis", torch.randn(hidden, size) / size**0.5)
        self.register_buffer("markers", torch.randn(2, size))
        self.encoder = nn.LSTM(size, settings.hidden, batch_first=True)
        self.latent = nn.Linear(settings.hidden, settings.latent)
        self.decoder = nn.LSTM(settings.latent, settings.hidden, batch_first=True)
        self.output = nn.Linear(settings.hidden, size)

    def rows(self, vectors: torch.Tensor) -> torch.Tensor:
        """Table (T, H) → what goes in and should come out (T, P); unknown is far from all that was seen."""
        centred = (vectors - self.shift) * self.scale @ self.basis
        unknown = 2 * self.markers.sum(0, keepdim=True)
        return torch.cat([torch.zeros_like(centred[:1]), unknown, self.markers, centred[FIRST_TEMPLATE:]])

    def forward(self, rows: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Tokens (B, T), of which `lengths` (B,) count → error of each (B, T), zero behind the end."""
        wanted = functional.embedding(tokens, rows)  # (B, T, P)
        states, _ = self.encoder(wanted)  # (B, T, D)
        last = states[torch.arange(len(tokens), device=tokens.device), lengths - 1]  # (B, D)
        latent = torch.tanh(self.latent(last))  # (B, Z)
        decoded, _ = self.decoder(latent[:, None].expand(-1, tokens.shape[1], -1))  # (B, T, D)
        error = (self.output(decoded) - wanted).square().mean(2)  # (B, T)
        bounded = torch.where(error < 1, error, 2 * error.clamp(min=1).sqrt() - 1)
        return bounded * (torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None])


class LstmAutoencoder(TorchDetector):
    """The detector; its score is the mean error of a window's tokens."""

    name = "lstm_autoencoder"
    supervised = False
    check_settings = (
        {"encoder": "hashing:32", "hidden": 32, "latent": 16, "training": {"epochs": 40, "learning_rate": 0.02}},
    )

    def __init__(self, settings: LstmAutoencoderSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        super().__init__(settings, settings.encoder, device=device, cache=cache)
        self.options = settings

    def _network(self) -> LstmAutoencoderNetwork:
        return LstmAutoencoderNetwork(self.embeddings.encoder.hidden, self.options)

    def _prepare(self, network: nn.Module, table: EmbeddingTable) -> tuple[LstmAutoencoderNetwork, torch.Tensor]:
        assert isinstance(network, LstmAutoencoderNetwork)
        return network, network.rows(self._vectors(table))

    def _rectangle(self, prepared: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        network, rows = prepared
        total: torch.Tensor = network(rows, tokens, lengths).sum(1)
        return total / lengths

    def _explained(self, tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[NDArray[np.float32], float]:
        network, rows = self._current()[1]
        with torch.inference_mode():
            return (network(rows, tokens, lengths)[0] / lengths[0]).cpu().numpy(), 0.0

    def _fit(self, data: TrainingData, progress: Progress | None) -> FitReport:
        self.embeddings.learn(data.templates)
        with seeded(data.seed, self._device):
            network = self._start()
            assert isinstance(network, LstmAutoencoderNetwork)
            if self.network is None:
                self._centre(network, data.windows)
            held = held_out(data.windows, data.validation, data.seed)
            report = self._train(network, data.windows, held, data.seed, progress)
        self._finish(network)
        return report

    def _centre(self, network: LstmAutoencoderNetwork, windows: Windows) -> None:
        table = self.embeddings.table
        rows = np.unique(table.lookup(windows.ids))
        vectors = self._vectors(table)[torch.from_numpy(rows[rows > BEGIN]).to(self._device)]
        if len(vectors) > 1:
            network.shift.copy_(vectors.mean(0))
            network.scale.fill_(1.0 / max(float((vectors - vectors.mean(0)).std()), 1e-6))

    def _train(
        self, network: LstmAutoencoderNetwork, windows: Windows, held: Windows, seed: int, progress: Progress | None
    ) -> FitReport:
        examples, times = unrepeated(windows)
        checks, held_times = unrepeated(held)
        tokens, offsets = marked(examples, self.embeddings.table.lookup(examples.ids))
        held_tokens, held_offsets = marked(checks, self.embeddings.table.lookup(checks.ids))
        rows = network.rows(self._vectors(self.embeddings.table))
        weight = np.sqrt(times)
        weights = torch.from_numpy((weight / weight.mean()).astype(np.float32)).to(self._device)

        def loss(index: NDArray[np.int64]) -> torch.Tensor:
            rectangle, lengths = self._tensors(tokens, offsets, index)
            errors = network(rows, rectangle, lengths).sum(1) / lengths
            mean: torch.Tensor = (errors * weights[torch.from_numpy(index).to(self._device)]).mean()
            return mean

        def validate() -> dict[str, float]:
            errors = np.zeros(len(checks))
            with torch.inference_mode():
                for index in rectangles(np.diff(held_offsets), self._budget):
                    parts = self._tensors(held_tokens, held_offsets, index)
                    errors[index] = self._rectangle((network, rows), *parts).cpu().numpy()
            return {"val_loss": float((errors * held_times).sum() / held_times.sum())}

        return train_network(
            network, len(examples), loss, validate, self.options.training, seed=seed, progress=progress
        )
