"""What the neural line classifiers share: distinct examples, class weights, early stopping, probabilities."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from models.base import FitReport, NotTrainedError, Progress
from models.classify.base import CLASSES, Attribution, LineClassifier, Lines, LineTraining
from models.classify.metrics import class_figures
from models.classify.shapley_words import word_reasons
from models.text.embeddings import TextVectors
from models.text.ragged import distinct
from models.training.local_training import Loss, part_of_round
from models.training.splits import by_group
from models.training.torch_model import TorchModel
from models.training.train_loop import LoopSettings, seeded, train_network

_BLOCK = 512
"""Lines that go through a network at once."""
_REPEAT_POWER = 0.5
"""A line that occurs n times in training weighs n to this power."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


class NeuralSettings(BaseModel):
    """Settings of every neural line classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field("minilm", description="Text encoder: minilm, a folder, a hub name, hashing or hashing:SIZE.")
    class_power: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="A class with a share p of the training lines has a weight of p to minus this power; 1 "
        "balances all classes.",
    )
    validation_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Share of each class's templates held out to find the number of epochs if no validation set is "
        "given; 0 trains all epochs on all lines.",
    )
    training: LoopSettings = Field(default=LoopSettings.model_validate({}), description="How the network is trained.")


@dataclass(frozen=True, slots=True)
class Examples:
    """Training lines as a network takes them; tensors are on its device.

    Attributes:
        read: What `NeuralClassifier._read` made of them.
        labels: int64 (n,).
        weights: float32 (n,), with mean 1.
        domains: int64 (n,): number of each line's source, 0 to one less than there are.
    """

    read: Any
    labels: torch.Tensor
    weights: torch.Tensor
    domains: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def cross_entropy(self, logits: torch.Tensor, index: NDArray[np.int64]) -> torch.Tensor:
        """Mean weighted loss of the logits (B, classes) of the examples at `index`."""
        at = torch.from_numpy(index).to(logits.device)
        losses = functional.cross_entropy(logits, self.labels[at], reduction="none")
        return (losses * self.weights[at]).mean()


class Centred(nn.Module):
    """Shift and scale vectors: log lines lie close together, and training distinguishes them sooner this way."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def learn(self, vectors: torch.Tensor, *, each: bool = False) -> None:
        """Takes the centre of vectors (n, size), and their spread: one for all columns, or one for `each`."""
        centred = vectors - vectors.mean(0)
        self.shift.copy_(vectors.mean(0))
        self.scale.copy_(1 / (centred.square().mean(0 if each else None).sqrt() + 1e-6))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, size) → (B, size)."""
        return (vectors - self.shift) * self.scale


class NeuralClassifier(TorchModel, LineClassifier):
    """Base of line classifiers with one torch network.

    A subclass defines what of a line its network reads (`_keys`, `_read`), how that becomes logits
    (`_logits`), and where it needs more than cross-entropy, how it is trained (`_objective`).
    """

    removed_settings: ClassVar[Mapping[str, Any]] = {"repeat_power": _REPEAT_POWER}

    def __init__(self, settings: NeuralSettings, *, device: str = "auto", cache: Path | None = None) -> None:
        super().__init__(settings, settings.encoder, device)
        self.shared = settings
        self._vectors = TextVectors(self._encoder, cache / f"texts-{self._encoder.fingerprint}.npz" if cache else None)
        self._levels = True

    def _texts(self, lines: Lines) -> tuple[str, ...]:
        """What the encoder reads of each line: its message, and its level before it where that is known.

        Levels are left out where no line that was trained on had one: a text that begins with one
        would be like none of them.
        """
        if not self._levels:
            return lines.messages
        return tuple(f"{level}: {m}" if level else m for level, m in zip(lines.levels, lines.messages, strict=True))

    def _keys(self, lines: Lines) -> Sequence[Hashable]:
        """All that the network reads of each line; equal ones are read once."""
        return self._texts(lines)

    @abstractmethod
    def _read(self, lines: Lines, encode: Encode) -> Any:
        """What the network reads of these lines, computed once for a whole training; `encode` is the frozen encoder."""

    @abstractmethod
    def _logits(self, network: Any, read: Any, index: NDArray[np.int64]) -> torch.Tensor:
        """Logits (B, classes) of the lines at `index`."""

    def _chosen(
        self, lines: Lines, labels: NDArray[np.int64], weights: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Index of those distinct lines that are trained on, and how many lines each of them represents."""
        return np.arange(len(lines)), weights

    def _learn(self, lines: Lines, labels: NDArray[np.int64]) -> None:
        """What has to be known of the training lines before a new network is made."""
        self._levels = any(lines.levels)

    def _begin(self, network: Any, examples: Examples, seed: int) -> None:
        """What a new network needs before it is trained."""

    def _objective(self, network: Any, examples: Examples, training: LoopSettings) -> tuple[nn.Module, Loss]:
        """The module that is trained, and the mean loss of the examples at an index."""
        return network, lambda index: examples.cross_entropy(self._logits(network, examples.read, index), index)

    def _fit(self, data: LineTraining, progress: Progress | None) -> FitReport:
        """See `LineClassifier.fit`. A classifier that holds weights continues from them.

        Of a validation set the epoch with the best macro F1 is kept. Without one, all epochs are run on
        all lines; with `validation_share`, some templates are first held out to find the number of
        epochs. Leaving out a template permanently would lose half of a class with few templates. Within
        a federated round the number of epochs is the round's.
        """
        training = self.shared.training
        with seeded(data.seed, self._device):
            history: tuple[Mapping[str, float], ...] = ()
            spent = 0.0
            if data.validation is None and self.shared.validation_share and not part_of_round():
                kept, out = by_group(data.labels, data.lines.templates, self.shared.validation_share, data.seed)
                if len(out):
                    _, found = self._trained(data.split(kept, out), training, progress)
                    training = training.model_copy(update={"epochs": found.best_epoch + 1})
                    history, spent = tuple(found.history), found.train_s
            network, report = self._trained(data, training, progress)
        self._finish(network)
        return FitReport(spent + report.train_s, report.best_epoch, history or report.history)

    def _trained(
        self, data: LineTraining, training: LoopSettings, progress: Progress | None
    ) -> tuple[nn.Module, FitReport]:
        if self.network is None:
            self._learn(data.lines, data.labels)
        examples = self._examples(data.lines, data.labels, data.weights, data.domains, data.seed)
        network = self._start()
        if self.network is None:
            self._begin(network, examples, data.seed)
        module, loss = self._objective(network, examples, training)
        validate = self._validated(network, *data.validation) if data.validation else None
        report = train_network(module, len(examples), loss, validate, training, seed=data.seed, progress=progress)
        return network, report

    def _examples(
        self,
        lines: Lines,
        labels: NDArray[np.int64],
        weights: NDArray[np.float64],
        sources: Sequence[str],
        seed: int,
    ) -> Examples:
        first, inverse = distinct(list(zip(self._keys(lines), labels.tolist(), sources, strict=True)))
        kept, weight = self._chosen(
            lines.take(first), labels[first], np.bincount(inverse, weights, len(first)).astype(np.float64), seed
        )
        index = first[kept]
        truth = labels[index]
        weight = weight**_REPEAT_POWER
        weight = weight * np.bincount(truth, weight, len(CLASSES))[truth] ** -self.shared.class_power
        number = {source: i for i, source in enumerate(sorted(set(sources)))}
        domain = np.array([number[sources[i]] for i in index.tolist()], np.int64)
        columns = (truth, (weight / weight.mean()).astype(np.float32), domain)
        tensors = [torch.from_numpy(column).to(self._device) for column in columns]
        return Examples(self._read(lines.take(index), self._vectors.of), *tensors)

    def _validated(self, network: nn.Module, lines: Lines, labels: NDArray[np.int64]) -> Callable[[], dict[str, float]]:
        first, place = distinct(self._keys(lines))
        read = self._read(lines.take(first), self._vectors.of)

        def validate() -> dict[str, float]:
            found = self._all(network, read, len(first))[place]
            right = found[np.arange(len(labels)), labels]
            return {
                "val_loss": float(-np.log(np.maximum(right, 1e-9)).mean()),
                "val_f1": class_figures(labels, found.argmax(1)).macro_f1,
            }

        return validate

    def _all(self, network: nn.Module, read: Any, count: int) -> NDArray[np.float32]:
        """Probabilities (count, classes) of lines as the network reads them."""
        found = np.zeros((count, len(CLASSES)), np.float32)
        with torch.inference_mode():
            for start in range(0, count, _BLOCK):
                index = np.arange(start, min(start + _BLOCK, count))
                found[index] = self._logits(network, read, index).double().softmax(1).float().cpu().numpy()
        return found

    def probabilities(self, lines: Lines) -> NDArray[np.float32]:
        """See `LineClassifier.probabilities`."""
        return self._given(lines, self._vectors.of)

    def _given(self, lines: Lines, encode: Encode) -> NDArray[np.float32]:
        if self.network is None:
            raise NotTrainedError(f"this {self.name} holds no weights: fit it, or load a version from the store")
        if not len(lines):
            return np.zeros((0, len(CLASSES)), np.float32)
        first, place = distinct(self._keys(lines))
        return self._all(self.network, self._read(lines.take(first), encode), len(first))[place]

    def explain(self, lines: Lines) -> list[tuple[Attribution, ...]]:
        """See `LineClassifier.explain`; the unit of a reason's value is probability."""

        def probabilities(some: Lines) -> NDArray[np.float32]:
            # Parts of lines are encoded past the memory of texts, which they would fill.
            return self._given(some, self._encoder.encode)

        return [word_reasons(probabilities, lines.take(np.array([i]))) for i in range(len(lines))]

    def load_weights(self, weights: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]) -> None:
        """See `Model.load_weights`."""
        super().load_weights(weights, extra)
        self._levels = extra.get("levels") is not False

    def extra(self) -> dict[str, Any]:
        """The encoder, and whether levels are read."""
        return super().extra() | {"levels": self._levels}
