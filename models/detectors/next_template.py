"""What the detectors that predict templates share: the candidates, and how a missed line is measured.

A network gives every candidate a logit: the projection of the template's embedding, times what the
network makes of the lines around it. Candidates are the templates seen in training, and the end of
the window. Their vectors are kept with the weights, so no template numbers and no texts are needed.

A line within the best `g` candidates is expected and adds nothing to the score. Any other adds the
logit of the g-th candidate minus its own, which beyond `NEW_TEMPLATE` grows by its logarithm only. A
template that is not a candidate adds `NEW_TEMPLATE` times the weight of its text
(`models.text.novelty`), so no number of unknown templates saturates the scores. That is the top-g
rule, but continuous: where two candidates are nearly equal, rounding changes the score by rounding
and no more.

A window's score is its largest miss. The sum of all misses ranks long normal windows with several
rare lines above short truncated ones; on corrupted normal windows (cut short, a line dropped,
inserted, or moved) the largest one finds more at the same share of false alarms, and most with g = 1:
the threshold then limits how far from the likeliest a line may be, where a larger g would say how many
others may be likelier.
"""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn

from models.base import FitReport, ModelStoreError, Progress, Templates, TrainingData, TrainingError, Windows
from models.detectors.torch_detector import TorchDetector
from models.text.embeddings import BEGIN, END, FIRST_TEMPLATE, EmbeddingTable
from models.text.novelty import UNREAD, speaks_of_failure
from models.text.ragged import content_keys, distinct
from models.training.local_training import part_of_round

NEW_TEMPLATE = 10.0
"""What a line of a template adds that is not a candidate and whose text is unread."""


def bounded(misses: torch.Tensor) -> torch.Tensor:
    """Misses as they are up to `NEW_TEMPLATE`, beyond it growing by the logarithm: finite, never saturated."""
    return torch.where(misses > NEW_TEMPLATE, NEW_TEMPLATE + torch.log1p((misses - NEW_TEMPLATE).clamp(min=0)), misses)


class CandidateNetwork(nn.Module):
    """Rows of the table in, candidates out; subclasses add a sequence model in between."""

    shift: torch.Tensor
    scale: torch.Tensor
    vocabulary: torch.Tensor
    vectors: torch.Tensor

    def __init__(self, hidden: int, size: int, candidates: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(hidden))
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("vocabulary", torch.zeros(candidates, dtype=torch.int64))
        self.register_buffer("vectors", torch.zeros(candidates, hidden))
        self.markers = nn.Parameter(torch.randn(2, hidden))
        self.projection = nn.Linear(hidden, size, bias=False)
        self.output = nn.Linear(hidden, size, bias=False)
        self.ending = nn.Parameter(torch.randn(size) / size**0.5)
        self.bias = nn.Parameter(torch.zeros(candidates + 1))

    def centre(self, vocabulary: NDArray[np.int64], vectors: torch.Tensor) -> None:
        """Takes over the candidates: ids (V,) and vectors (V, H)."""
        self.vocabulary.copy_(torch.from_numpy(vocabulary))
        self.vectors.copy_(vectors)
        if len(vectors) > 1:
            self.shift.copy_(vectors.mean(0))
            self.scale.fill_(1.0 / max(float((vectors - vectors.mean(0)).std()), 1e-6))

    def rows(self, vectors: torch.Tensor) -> torch.Tensor:
        """Table (T, H) → inputs (T, P): padding and unknown are zero, markers are learnt."""
        centred = (vectors - self.shift) * self.scale
        rows = [torch.zeros_like(centred[:BEGIN]), self.markers, centred[FIRST_TEMPLATE:]]
        projected: torch.Tensor = self.projection(torch.cat(rows))
        return projected

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """States (..., P) → logits (..., V + 1), the last being the end's."""
        outputs = torch.cat([self.output((self.vectors - self.shift) * self.scale), self.ending[None]])  # (V + 1, P)
        found: torch.Tensor = states @ outputs.T / outputs.shape[1] ** 0.5 + self.bias
        return found

    def misses(self, logits: torch.Tensor, targets: torch.Tensor, unknown: torch.Tensor, expected: int) -> torch.Tensor:
        """Logits (N, V + 1) and candidate numbers (N,) → how far each is from the best `expected` (N,).

        Where the number is -1, the template is not a candidate and the miss is that of `unknown` (N,).
        """
        best = logits.topk(min(expected, logits.shape[1]), dim=1).values[:, -1]
        own = logits.gather(1, targets.clamp(min=0)[:, None])[:, 0]
        return torch.where(targets < 0, unknown, bounded((best - own).clamp(min=0)))


def numbers(table: EmbeddingTable, vocabulary: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (rows,): the candidate number of each row of the table, -1 where it is none."""
    found = np.full(len(table), -1, np.int64)
    rows = table.lookup(vocabulary)
    known = rows >= FIRST_TEMPLATE
    found[rows[known]] = np.flatnonzero(known)
    found[END] = len(vocabulary)
    return found


class CandidateDetector(TorchDetector):
    """Learns from normal windows which templates to expect, and scores what was not expected."""

    def __init__(self, settings: BaseModel, encoder: str, *, device: str = "auto", cache: Path | None = None) -> None:
        super().__init__(settings, encoder, device=device, cache=cache)
        self._failures: set[int] = set()

    @abstractmethod
    def _sized(self, candidates: int) -> CandidateNetwork:
        """A new network for that many candidates."""

    @abstractmethod
    def _line_misses(self, prepared: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Misses (B, T), zero at the begin marker and behind the end."""

    @abstractmethod
    def _learn(self, network: Any, windows: Windows, held: Windows, seed: int, progress: Progress | None) -> FitReport:
        """Trains the network in place on distinct normal windows."""

    def _network(self) -> torch.nn.Module:
        return self._sized(1)

    def _fitting(self, weights: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
        vocabulary = weights.get("vocabulary")
        if vocabulary is None or vocabulary.ndim != 1 or not len(vocabulary):
            raise ModelStoreError(f"the weights are not those of a {self.name}: they hold no list of candidates")
        return self._sized(len(vocabulary))

    def learn_templates(self, templates: Templates) -> None:
        """See `WindowDetector.learn_templates`."""
        self._note_failures(templates)
        super().learn_templates(templates)

    def _note_failures(self, templates: Templates) -> None:
        self._failures |= {i for i, text in templates.items() if speaks_of_failure(text)}

    def _prepare(
        self, network: nn.Module, table: EmbeddingTable
    ) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        """The network, its inputs (T, P), and by row the number of the candidate and the miss of one that is none."""
        assert isinstance(network, CandidateNetwork)
        known = numbers(table, network.vocabulary.cpu().numpy())
        unknown = NEW_TEMPLATE * self._strangeness(network, table)
        parts = torch.from_numpy(known), torch.from_numpy(unknown.astype(np.float32))
        return network, network.rows(self._vectors(table)), parts[0].to(self._device), parts[1].to(self._device)

    def _strangeness(self, network: CandidateNetwork, table: EmbeddingTable) -> NDArray[np.float64]:
        """Weight of each row (T,) as a template that is not a candidate: 1 to 1.5, plus 1 where it speaks of a failure.

        The candidates' texts are not kept, so what is unshared is one minus the highest cosine of the vectors.
        """
        weights = np.full(len(table), UNREAD)
        candidates, vectors = network.vectors.cpu().numpy(), table.vectors[FIRST_TEMPLATE:]
        lengths = np.linalg.norm(vectors, axis=1)[:, None] * np.linalg.norm(candidates, axis=1)
        cosine = (vectors @ candidates.T / np.maximum(lengths, 1e-9)).max(1)
        failing = np.isin(table.ids, np.fromiter(self._failures, np.int64, len(self._failures)))
        weights[FIRST_TEMPLATE:] = 1 + 0.5 * (1 - cosine.clip(0, 1))
        weights[table.rows[failing]] += 1
        return weights

    def _rectangle(self, prepared: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self._line_misses(prepared, tokens, lengths).amax(1)

    def _explained(self, tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[NDArray[np.float32], float]:
        with torch.inference_mode():
            return shared(self._line_misses(self._current()[1], tokens, lengths)[0]), 0.0

    def _fit_normal(self, data: TrainingData, progress: Progress | None) -> FitReport:
        """Trains on distinct normal windows."""
        self._note_failures(data.templates)
        self.embeddings.learn(data.templates)
        network = self._started(data.windows, self.embeddings.table)
        held = held_out(data.windows, data.validation, data.seed)
        report = self._learn(network, data.windows, held, data.seed, progress)
        self._finish(network)
        return report

    def _started(self, windows: Windows, table: EmbeddingTable) -> CandidateNetwork:
        """The loaded network where its candidates are still all there are, else a new one.

        In a federated round always the loaded one, whose candidates are those of all regions.

        Raises:
            TrainingError: the loaded one of a round has no candidate among these windows' templates.
        """
        vocabulary = np.unique(windows.ids)
        if isinstance(self.network, CandidateNetwork):
            old = self.network.vocabulary.cpu().numpy()
            known = np.isin(vocabulary, old)
            if part_of_round() and not self.supervised and not known.any():
                raise TrainingError(
                    f"no template of the windows is among the {len(old)} that this {self.name} predicts"
                )
            if part_of_round() or known.all():
                network = self._sized(len(old))
                network.load_state_dict(self.network.state_dict())
                return network.to(self._device)
        network = self._sized(len(vocabulary)).to(self._device)
        network.centre(vocabulary, self._vectors(table)[torch.from_numpy(table.lookup(vocabulary)).to(self._device)])
        return network


def shared(misses: torch.Tensor) -> NDArray[np.float32]:
    """The largest miss of a window (T,), shared among all its misses in proportion."""
    total = float(misses.sum())
    return np.asarray((misses * (float(misses.max()) / total if total else 0.0)).cpu().numpy(), np.float32)


def held_out(windows: Windows, validation: tuple[Windows, NDArray[np.bool_]] | None, seed: int) -> Windows:
    """Normal windows to stop training on: those of the validation set, else a tenth of the training windows."""
    if validation is not None:
        normal = np.flatnonzero(~validation[1] & (validation[0].lengths() > 0))
        if len(normal):
            return validation[0].take(normal)
    return windows.take(np.random.default_rng(seed).permutation(len(windows))[: max(1, len(windows) // 10)])


def unrepeated(windows: Windows) -> tuple[Windows, NDArray[np.int64]]:
    """Distinct windows, and how often each occurs."""
    first, inverse = distinct(content_keys(windows))
    return windows.take(first), np.bincount(inverse, minlength=len(first))
