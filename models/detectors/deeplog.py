"""DeepLog: an LSTM predicts the next template from those before it; trained on normal windows.

Paper: Du et al., "DeepLog: Anomaly Detection and Diagnosis from System Logs through Deep Learning",
2017, https://doi.org/10.1145/3133956.3134015. Only its model of log keys; parameters are not read.

What differs here, and why:

* Templates come in and are predicted as embeddings of their text (`models.detectors.next_template`), so regions
  whose parsers number templates differently share one model.
* A line with fewer than `history` lines before it is predicted from those there are, behind a begin
  marker that every window has. Filling short windows up with a symbol never seen in normal ones
  gives the label away and raises the published F1 on HDFS from .910 to .945 (Himler et al., 2024).
* The end of a closed window is predicted like a line (`ends`), so one that breaks off is noticed.
* A miss is continuous instead of yes or no (`models.detectors.next_template`).

Shapes: B windows, T tokens of the longest, N predictions, h history, P projection, D hidden size,
V candidates.
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
from models.detectors.next_template import CandidateDetector, CandidateNetwork, numbers
from models.text.embeddings import PADDING
from models.text.ragged import marked
from models.training.train_loop import LoopSettings, seeded, train_network


class DeepLogSettings(BaseModel):
    """Architecture and training of DeepLog."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field("minilm", description="Text encoder: minilm, a folder, a hub name, hashing or hashing:SIZE.")
    history: Annotated[int, Field(ge=1, le=256)] = Field(
        10, description="Number of preceding lines from which the next one is predicted."
    )
    expected: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Number of top candidates that count as a correct prediction (g); beyond it, the miss grows "
        "with the rank.",
    )
    ends: bool = Field(True, description="Whether the end of a closed window is predicted like a line.")
    projection: Annotated[int, Field(ge=1)] = Field(64, description="Size to which embeddings are projected.")
    hidden: Annotated[int, Field(ge=1)] = Field(64, description="Size of the LSTM's state.")
    layers: Annotated[int, Field(ge=1)] = Field(2, description="Layers of the LSTM.")
    training: LoopSettings = Field(
        default=LoopSettings.model_validate(
            {"epochs": 60, "max_steps": 1200, "patience": 8, "batch_size": 512, "learning_rate": 5e-3}
        ),
        description="How the network is trained; a step takes batch_size distinct histories with their next line.",
    )


class DeepLogNetwork(CandidateNetwork):
    """The network."""

    def __init__(self, hidden: int, candidates: int, settings: DeepLogSettings) -> None:
        super().__init__(hidden, settings.projection, candidates)
        self.lstm = nn.LSTM(settings.projection, settings.hidden, settings.layers, batch_first=True)
        self.head = nn.Linear(settings.hidden, settings.projection)

    def forward(self, rows: torch.Tensor, histories: torch.Tensor) -> torch.Tensor:
        """Rows of the table (T, P) and histories (N, h), padding behind → logits (N, V + 1)."""
        states, _ = self.lstm(functional.embedding(histories, rows))  # (N, h, D)
        last = (histories != PADDING).sum(1) - 1  # (N,)
        return self.logits(self.head(states[torch.arange(len(last), device=last.device), last]))


def histories(tokens: torch.Tensor, size: int) -> torch.Tensor:
    """Tokens (B, T) → what comes before each but the first, (B, T - 1, size), padding behind."""
    position = torch.arange(1, tokens.shape[1], device=tokens.device)  # (T - 1,)
    at = (position - size).clamp(min=0)[:, None] + torch.arange(size, device=tokens.device)  # (T - 1, size)
    before = tokens[:, at.clamp(max=tokens.shape[1] - 1)]  # (B, T - 1, size)
    return torch.where(at < position[:, None], before, PADDING)


_SMALL: dict[str, Any] = {
    "encoder": "hashing:32", "projection": 16, "hidden": 16, "training": {"epochs": 12, "learning_rate": 0.02}
}  # fmt: skip


class DeepLog(CandidateDetector):
    """The detector; its score is its largest miss."""

    name = "deeplog"
    supervised = False
    check_settings = (_SMALL, _SMALL | {"ends": False, "expected": 2, "history": 3, "layers": 1})
    _budget = 16_384
    _narrowest = 2

    def __init__(self, settings: DeepLogSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        super().__init__(settings, settings.encoder, device=device, cache=cache)
        self.options = settings

    def _sized(self, candidates: int) -> DeepLogNetwork:
        return DeepLogNetwork(self.embeddings.encoder.hidden, candidates, self.options)

    def _fit(self, data: TrainingData, progress: Progress | None) -> FitReport:
        with seeded(data.seed, self._device):
            return self._fit_normal(data, progress)

    def _line_misses(self, prepared: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        network, rows, known, unknown = prepared
        targets = known[tokens[:, 1:]]  # (B, T - 1)
        wanted = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths[:, None]
        if not self.options.ends:
            wanted &= targets != len(network.vocabulary)
        misses = torch.zeros(tokens.shape, device=tokens.device)
        # Logs repeat themselves: of HDFS's histories few are distinct, and the LSTM is what costs.
        asked, place = torch.unique(histories(tokens, self.options.history)[wanted], dim=0, return_inverse=True)
        logits = network(rows, asked)[place]
        misses[:, 1:][wanted] = network.misses(
            logits, targets[wanted], unknown[tokens[:, 1:][wanted]], self.options.expected
        )
        return misses

    def _learn(
        self, network: DeepLogNetwork, windows: Windows, held: Windows, seed: int, progress: Progress | None
    ) -> FitReport:
        vectors = self._vectors(self.embeddings.table)
        examples, targets, weights = self._examples(network, windows)
        held_examples, held_targets, held_weights = self._examples(network, held, power=1.0)

        def loss(index: NDArray[np.int64]) -> torch.Tensor:
            at = torch.from_numpy(index).to(self._device)
            logits = network(network.rows(vectors), examples[at])
            return (functional.cross_entropy(logits, targets[at], reduction="none") * weights[at]).mean()

        def validate() -> dict[str, float]:
            with torch.inference_mode():
                logits = network(network.rows(vectors), held_examples)
                losses = functional.cross_entropy(logits, held_targets, reduction="none")
                return {"val_loss": float((losses * held_weights).mean())}

        return train_network(
            network, len(examples), loss, validate, self.options.training, seed=seed, progress=progress
        )

    def _examples(
        self, network: DeepLogNetwork, windows: Windows, power: float = 0.25
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Distinct histories (N, h) with the number of the next line (N,), and weights (N,) of mean 1.

        A pair that occurs n times weighs n to the power. The fourth root keeps the order of a
        history's candidates and lets rare histories be learnt; of the powers 0, 1/4, 1/2 and 1 it
        found most corrupted normal windows of HDFS at two false alarms in a thousand.
        """
        tokens, offsets = marked(windows, self.embeddings.table.lookup(windows.ids))
        known = numbers(self.embeddings.table, network.vocabulary.cpu().numpy())
        size = self.options.history
        inside = np.arange(len(tokens)) - np.repeat(offsets[:-1], np.diff(offsets))
        place = np.flatnonzero((inside > 0) & (known[tokens] >= 0))
        if not self.options.ends:
            place = place[known[tokens[place]] < len(network.vocabulary)]
        length = np.minimum(inside[place], size)
        column = np.arange(size)
        at = np.minimum((place - length)[:, None] + column, len(tokens) - 1)
        before = np.where(column < length[:, None], tokens[at], PADDING)
        pairs, counts = np.unique(np.column_stack([before, known[tokens[place]]]), axis=0, return_counts=True)
        weights = (counts**power).astype(np.float32)
        return (
            torch.from_numpy(np.ascontiguousarray(pairs[:, :-1])).to(self._device),
            torch.from_numpy(np.ascontiguousarray(pairs[:, -1])).to(self._device),
            torch.from_numpy(weights / weights.mean()).to(self._device),
        )
