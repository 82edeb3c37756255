"""LogBERT: a transformer predicts masked lines from those around them or, supervised, classifies the window.

Paper: Guo et al., "LogBERT: Log Anomaly Detection via BERT", 2021, https://arxiv.org/abs/2103.04475.
Training masks lines of normal windows and predicts them, and draws the vectors of whole windows
together (volume of hypersphere, after Deep SVDD, https://proceedings.mlr.press/v80/ruff18a.html).

What differs here, and why:

* Lines come in and are predicted as embeddings of their templates' texts (`models.detectors.next_template`), so
  regions whose parsers number templates differently share one model.
* In scoring every line is masked exactly once: one line in `PARTS` at a time, evenly spread. Random
  masks would give the same window another score every time.
* The distance of a window's vector from the centre, beyond that of any training window,
  counts in the score next to the missed lines.
* `head = "supervised"` adds a linear layer to the same encoder, over the window's vector, the mean
  and the maximum of its lines, and is trained with binary cross-entropy.
* A window of more than `PIECE` tokens is read in pieces, since attention grows with the square.

Shapes: B windows or pieces, T tokens of the longest, P size, V candidates.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from models.base import FitReport, Progress, TrainingData, Windows
from models.detectors.next_template import (
    NEW_TEMPLATE,
    CandidateDetector,
    CandidateNetwork,
    bounded,
    numbers,
    shared,
    unrepeated,
)
from models.text.embeddings import BEGIN, PADDING
from models.text.ragged import content_keys, distinct, marked, rectangles
from models.training.attribution import integrated
from models.training.metrics import highest_f1
from models.training.splits import with_validation
from models.training.train_loop import LoopSettings, seeded, train_network

PARTS = 4
"""Passes in which every line is masked once; one in four is near the paper's masking ratio."""
PIECE = 512
"""Tokens that attend to each other at most."""


class LogBertSettings(BaseModel):
    """Architecture and training of LogBERT."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field("minilm", description="Text encoder: minilm, a folder, a hub name, hashing or hashing:SIZE.")
    head: Literal["masked", "supervised"] = Field(
        "masked",
        description="masked: prediction of masked lines, without labels; supervised: classification of "
        "whole windows, with labels.",
    )
    expected: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Number of top candidates that count as a correct prediction (g); beyond it, the miss grows "
        "with the rank.",
    )
    mask_share: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="Share of the lines masked in training.")
    hypersphere: Annotated[float, Field(ge=0)] = Field(
        0.1, description="Weight of the hypersphere loss; 0 turns it off."
    )
    size: Annotated[int, Field(ge=4, multiple_of=4)] = Field(64, description="Size of a line's vector.")
    layers: Annotated[int, Field(ge=1)] = Field(2, description="Layers of the transformer.")
    heads: Literal[1, 2, 4] = Field(4, description="Attention heads of a layer.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Dropout in training.")
    training: LoopSettings = Field(
        default=LoopSettings.model_validate(
            {"epochs": 60, "max_steps": 1200, "patience": 15, "batch_size": 64, "learning_rate": 1e-3}
        ),
        description="How the network is trained.",
    )


class LogBertNetwork(CandidateNetwork):
    """The network."""

    centre_of: torch.Tensor
    radius: torch.Tensor

    def __init__(self, hidden: int, candidates: int, settings: LogBertSettings) -> None:
        size = settings.size
        super().__init__(hidden, size, candidates)
        self.register_buffer("centre_of", torch.zeros(size))
        self.register_buffer("radius", torch.ones(1))
        self.mask = nn.Parameter(torch.randn(size) / size**0.5)
        self.position = nn.Embedding(PIECE, size)
        layer = nn.TransformerEncoderLayer(
            size, settings.heads, 2 * size, settings.dropout, batch_first=True, norm_first=True, activation="gelu"
        )
        self.transformer = nn.TransformerEncoder(layer, settings.layers, nn.LayerNorm(size), enable_nested_tensor=False)
        self.head = nn.Linear(size, size)
        self.judge = nn.Linear(3 * size, 1)

    def states(self, embedded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Vectors (B, T, P), of which `lengths` (B,) count → in the light of each other (B, T, P)."""
        position = torch.arange(embedded.shape[1], device=embedded.device)
        blank = position >= lengths.clamp(min=1)[:, None]  # (B, T)
        out: torch.Tensor = self.transformer(embedded + self.position(position), src_key_padding_mask=blank)
        return out

    def judged(self, embedded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Vectors (B, T, P) → logits (B,) of the supervised head."""
        states = self.states(embedded, lengths)
        blank = (torch.arange(states.shape[1], device=states.device) >= lengths.clamp(min=1)[:, None])[..., None]
        mean = states.masked_fill(blank, 0).sum(1) / lengths.clamp(min=1)[:, None]  # (B, P)
        highest = states.masked_fill(blank, -torch.inf).amax(1)  # (B, P)
        logits: torch.Tensor = self.judge(torch.cat([states[:, 0], mean, highest], 1)).squeeze(1)
        return logits


def pieces(tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (B, T) and lengths (B,) → pieces (B·k, at most PIECE) and theirs; some may be empty."""
    width = tokens.shape[1]
    if width <= PIECE:
        return tokens, lengths
    count = -(-width // PIECE)
    filled = functional.pad(tokens, (0, count * PIECE - width), value=PADDING).view(-1, PIECE)  # (B·k, PIECE)
    start = torch.arange(count, device=tokens.device) * PIECE
    return filled, (lengths[:, None] - start).clamp(0, PIECE).view(-1)


_SMALL: dict[str, Any] = {
    "encoder": "hashing:32", "size": 16, "layers": 1, "heads": 2, "training": {"epochs": 12, "learning_rate": 0.01}
}  # fmt: skip


class LogBert(CandidateDetector):
    """The detector; its score is its largest miss, or the probability of the anomalous class."""

    name = "logbert"
    check_settings = (_SMALL, _SMALL | {"hypersphere": 0.0, "layers": 2}, _SMALL | {"head": "supervised"})
    _budget = 8192

    def __init__(self, settings: LogBertSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        super().__init__(settings, settings.encoder, device=device, cache=cache)
        self.options = settings
        self.supervised = settings.head == "supervised"

    def _sized(self, candidates: int) -> LogBertNetwork:
        return LogBertNetwork(self.embeddings.encoder.hidden, candidates, self.options)

    def _fit(self, data: TrainingData, progress: Progress | None) -> FitReport:
        with seeded(data.seed, self._device):
            return self._fit_labelled(data, progress) if self.supervised else self._fit_normal(data, progress)

    def _rectangle(self, prepared: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        network, rows, *_ = prepared
        parts, sizes = pieces(tokens, lengths)
        embedded = functional.embedding(parts, rows)
        if self.supervised:
            logits = network.judged(embedded, sizes).masked_fill(sizes == 0, -torch.inf)
            return torch.sigmoid(logits.view(len(tokens), -1).amax(1))
        largest = self._line_misses(prepared, tokens, lengths).amax(1)
        return largest + self._beyond(network, embedded, sizes, len(tokens))

    def _beyond(self, network: LogBertNetwork, embedded: torch.Tensor, sizes: torch.Tensor, count: int) -> torch.Tensor:
        """How far beyond every normal window a window's vector is from the centre (count,).

        Half as far again as the farthest of them counts as much as a line of a new template.
        """
        if not self.options.hypersphere:
            return torch.zeros(count, device=embedded.device)
        apart = (network.states(embedded, sizes)[:, 0] - network.centre_of).square().mean(1)
        apart = apart.masked_fill(sizes == 0, 0).view(count, -1).amax(1)
        return bounded(2 * NEW_TEMPLATE * (apart / network.radius - 1).clamp(min=0))

    def _line_misses(self, prepared: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        network, rows, known, unknown = prepared
        parts, sizes = pieces(tokens, lengths)
        embedded = functional.embedding(parts, rows)
        position = torch.arange(parts.shape[1], device=tokens.device)
        real = (position < sizes[:, None]) & (parts != BEGIN)  # (B, T)
        misses = torch.zeros(parts.shape, device=tokens.device)
        for part in range(PARTS):
            wanted = real & (position % PARTS == part)
            states = network.states(torch.where(wanted[..., None], network.mask, embedded), sizes)
            logits = network.logits(network.head(states[wanted]))
            misses[wanted] = network.misses(logits, known[parts[wanted]], unknown[parts[wanted]], self.options.expected)
        return misses.view(len(tokens), -1)[:, : tokens.shape[1]]

    def _explained(self, tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[NDArray[np.float32], float]:
        prepared = self._current()[1]
        network, rows, *_ = prepared
        parts, sizes = pieces(tokens, lengths)
        with torch.no_grad():
            embedded = functional.embedding(parts, rows)
            if not self.supervised:
                beyond = float(self._beyond(network, embedded, sizes, 1)[0])
                return shared(self._line_misses(prepared, tokens, lengths)[0]), beyond
            worst = int(network.judged(embedded, sizes).masked_fill(sizes == 0, -torch.inf).argmax())

        def probability(vectors: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(network.judged(vectors, sizes[worst].expand(len(vectors))))

        # Of a window in pieces, the score is that of the worst, so the others' lines add nothing.
        shares, base = integrated(probability, (embedded[worst : worst + 1].clone(),))
        whole = np.zeros(parts.numel(), np.float32)
        whole[worst * parts.shape[1] : worst * parts.shape[1] + len(shares)] = shares
        return whole[: tokens.shape[1]], base

    def _learn(
        self, network: LogBertNetwork, windows: Windows, held: Windows, seed: int, progress: Progress | None
    ) -> FitReport:
        examples, times = unrepeated(windows)
        checks, held_times = unrepeated(held)
        table = self.embeddings.table
        vectors = self._vectors(table)
        known = torch.from_numpy(numbers(table, network.vocabulary.cpu().numpy())).to(self._device)
        tokens, offsets = marked(examples, table.lookup(examples.ids))
        held_tokens, held_offsets = marked(checks, table.lookup(checks.ids))
        weight = np.sqrt(times)
        weights = torch.from_numpy((weight / weight.mean()).astype(np.float32)).to(self._device)

        def losses(rectangle: torch.Tensor, lengths: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
            """Mean loss of each window (B,), the lines at `hidden` (B, T) being masked."""
            parts, sizes = pieces(rectangle, lengths)
            inside = torch.arange(parts.shape[1], device=parts.device) < sizes[:, None]
            wanted = inside & (known[parts] >= 0) & hidden.view(parts.shape)
            embedded = torch.where(wanted[..., None], network.mask, functional.embedding(parts, network.rows(vectors)))
            states = network.states(embedded, sizes)
            found = functional.cross_entropy(
                network.logits(network.head(states[wanted])), known[parts[wanted]], reduction="none"
            )
            window = torch.arange(len(parts), device=parts.device)[:, None].expand(parts.shape)[wanted]
            total = torch.zeros(len(parts), device=parts.device).index_add(0, window, found)
            mean = (total / wanted.sum(1).clamp(min=1)).view(len(rectangle), -1).mean(1)
            near = (states[:, 0] - network.centre_of).square().mean(1).view(len(rectangle), -1).mean(1)
            return mean + self.options.hypersphere * near

        def loss(index: NDArray[np.int64]) -> torch.Tensor:
            rectangle, lengths = self._tensors(tokens, offsets, index)
            hidden = torch.rand(pieces(rectangle, lengths)[0].shape, device=self._device) < self.options.mask_share
            return (losses(rectangle, lengths, hidden) * weights[torch.from_numpy(index).to(self._device)]).mean()

        def validate() -> dict[str, float]:
            found = np.zeros(len(checks))
            with torch.inference_mode():
                for index in rectangles(np.diff(held_offsets), self._budget):
                    rectangle, lengths = self._tensors(held_tokens, held_offsets, index)
                    shape = pieces(rectangle, lengths)[0].shape
                    for part in range(PARTS):
                        hidden = (torch.arange(shape[1], device=self._device) % PARTS == part).expand(shape)
                        found[index] += losses(rectangle, lengths, hidden).cpu().numpy() / PARTS
            self._settle(network, tokens, offsets)
            return {"val_loss": float((found * held_times).sum() / held_times.sum())}

        self._settle(network, tokens, offsets)
        return train_network(
            network, len(examples), loss, validate, self.options.training, seed=seed, progress=progress
        )

    def _settle(self, network: LogBertNetwork, tokens: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """The centre becomes the mean of the training windows' vectors, the radius their largest distance."""
        rows = network.rows(self._vectors(self.embeddings.table))
        found: list[torch.Tensor] = []
        training = network.training
        network.eval()
        with torch.no_grad():
            for index in rectangles(np.diff(offsets), self._budget):
                parts, sizes = pieces(*self._tensors(tokens, offsets, index))
                found.append(network.states(functional.embedding(parts, rows), sizes)[sizes > 0, 0])
            vectors = torch.cat(found)
            network.centre_of.copy_(vectors.mean(0))
            apart = (vectors - network.centre_of).square().mean(1)
            network.radius.fill_(max(float(apart.max()), 1e-6))
        network.train(training)

    def _fit_labelled(self, data: TrainingData, progress: Progress | None) -> FitReport:
        self.embeddings.learn(data.templates)
        (windows, labels), validation = with_validation(data, 0.1)
        network = self._started(windows, self.embeddings.table)
        assert isinstance(network, LogBertNetwork)
        report = self._judge(network, windows, labels, validation, data.seed, progress)
        self._finish(network)
        return report

    def _judge(
        self, network: LogBertNetwork, windows: Windows, labels: NDArray[np.bool_],
        validation: tuple[Windows, NDArray[np.bool_]], seed: int, progress: Progress | None,
    ) -> FitReport:  # fmt: skip
        keys = [key + bytes([label]) for key, label in zip(content_keys(windows), labels.tolist(), strict=True)]
        first, _ = distinct(keys)
        table = self.embeddings.table
        vectors = self._vectors(table)
        examples = windows.take(first)
        tokens, offsets = marked(examples, table.lookup(examples.ids))
        targets = torch.from_numpy(labels[first].astype(np.float32)).to(self._device)
        checks, place = distinct(content_keys(validation[0]))
        held = validation[0].take(checks)
        held_tokens, held_offsets = marked(held, table.lookup(held.ids))

        def loss(index: NDArray[np.int64]) -> torch.Tensor:
            parts, sizes = pieces(*self._tensors(tokens, offsets, index))
            logits = network.judged(functional.embedding(parts, network.rows(vectors)), sizes)
            logits = logits.masked_fill(sizes == 0, -torch.inf).view(len(index), -1).amax(1)
            return functional.binary_cross_entropy_with_logits(
                logits, targets[torch.from_numpy(index).to(self._device)]
            )

        def validate() -> dict[str, float]:
            scores = np.zeros(len(held), np.float32)
            with torch.inference_mode():
                rows = network.rows(vectors)
                for index in rectangles(np.diff(held_offsets), self._budget):
                    parts = self._tensors(held_tokens, held_offsets, index)
                    scores[index] = self._rectangle((network, rows, None), *parts).cpu().numpy()
            probability, truth = scores[place].clip(1e-6, 1 - 1e-6), validation[1]
            figures = {"val_loss": float(-np.log(np.where(truth, probability, 1 - probability)).mean())}
            if 0 < truth.sum() < len(truth):
                figures["val_f1"] = highest_f1(probability, truth)
            return figures

        return train_network(
            network, len(examples), loss, validate, self.options.training, seed=seed, progress=progress
        )
