"""Hot swap: the engine follows the model store and takes new versions over between two batches.

1. Read the store's pointer. If the version is the same as before, stop.
2. Load the version, which verifies its sha256, and build the detector next to the running one, with
   everything that learning a new template is going to need (the encoder's weights).
3. Encode every template of this process for it: embeddings and folded tables are made here, in the
   background, while the running model continues scoring.
4. Score one window as a trial; a model that cannot do that is refused.
5. Set one reference. The scoring step reads it once a batch, so no window is lost, scored twice or
   scored by a mixture. (With shadow scoring first comes what `engine.serving.shadow` numbers.)

A version that fails at 2 to 4 is refused and reported, and the running one stays. It is tried again at
every look, since a publisher may still be writing it.
"""

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Annotated, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.base import ModelError, Windows
from models.thresholds.base import Threshold
from models.training.scoring import WindowScorer

log = logging.getLogger(__name__)

Templates = dict[int, str]
"""Every template of this process in the order of appearance; only ever appended to."""


LEARN_AT_ONCE = 256
"""Templates learnt between two signs of life: a BERT on one core encodes 50 to 100 of them a second, and the
first batch of an unknown log may bring thousands."""


REST_S = 60.0
"""Without a new template for this long, what only new ones need is freed; loading it again takes 30 to 70 ms."""


class ModelSettings(BaseModel):
    """Which model scores, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field(description="Folder or fsspec URL of the model store.")
    name: str = Field("bert_cnn", description="Name of the model in the store; its `current` version is followed.")
    poll_s: Annotated[float, Field(gt=0)] = Field(2.0, description="Interval of checks for a new version, in seconds.")
    max_weights_bytes: Annotated[int, Field(ge=1)] = Field(
        4 << 30, description="Largest weights that are loaded, in bytes; a larger version is refused before it is read."
    )
    device: str = Field("auto", description="`cpu`, `cuda`, or `auto`, which uses a GPU if one is available.")
    shadow_windows: Annotated[int, Field(ge=0)] = Field(
        0, description="Windows that a new version scores in parallel before the swap, and that the old version scores "
        "in parallel afterwards. 0 swaps at once.",
    )  # fmt: skip
    shadow_factor: Annotated[float, Field(ge=1)] = Field(
        2.0, description="Factor by which a new version may find more of these windows anomalous than the old one."
    )
    shadow_margin: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="Share of the windows that it may find anomalous in addition."
    )


class ServingModel:
    """One version in service: learns templates as they appear, and scores."""

    def __init__(
        self, name: str, version: int, scorer: WindowScorer, templates: Templates,
        progress: Callable[[], None] = lambda: None, fitted: Threshold | None = None, f1: float | None = None,
        gap_s: float | None = None,
    ) -> None:  # fmt: skip
        """`progress` is called while scoring has to wait for new templates: the worker is not stuck.

        `fitted` is the card's threshold, from which calibration on the stream starts, `f1` the card's F1, and `gap_s`
        the session gap in seconds of its training; None where it was not trained on sessions.
        """
        self.name = name
        self.fitted = fitted
        self.f1 = f1
        self.gap_s = gap_s
        self.shadow_scores: list[NDArray[np.float32]] = []
        self.version = version
        self.scorer = scorer
        self._templates = templates
        self._progress = progress
        self._learnt = self._learnt_before = 0

    @property
    def threshold(self) -> float:
        """See `engine.steps.score.Model`."""
        return self.scorer.threshold

    def catch_up(self, progress: Callable[[], None] = lambda: None) -> None:
        """Learns the templates that appeared since the last call.

        On the scoring path this is done before the windows that hold them are scored, so a
        window's score never depends on how far a background thread has come.
        """
        if len(self._templates) > self._learnt:
            # dict() copies in one step under the interpreter's lock; iterating would not.
            new = list(itertools.islice(dict(self._templates).items(), self._learnt, None))
            for start in range(0, len(new), LEARN_AT_ONCE):
                part = dict(new[start : start + LEARN_AT_ONCE])
                self.scorer.detector.learn_templates(part)
                self._learnt += len(part)
                progress()

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """See `engine.steps.score.Model`."""
        self.catch_up(self._progress)
        return self.scorer.score(windows)

    def rest(self) -> None:
        """Frees what only new templates need, if none has come since the last call."""
        if self._learnt == self._learnt_before:
            self.scorer.detector.rest()
        self._learnt_before = self._learnt

    def try_out(self) -> None:
        """Scores one window as a trial.

        Raises:
            ModelError: it cannot.
        """
        trial = self.scorer.detector.score(Windows.of([[1, 2], [1]]))
        if not np.isfinite(trial).all():
            raise ModelError(f"{self.name} version {self.version} scores {trial.tolist()}, not finite numbers")


class Serving(Protocol):
    """A version of a model that can be activated; `catch_up` and `try_out` are steps 3 and 4."""

    name: str
    version: int

    def catch_up(self) -> None:
        """Encode all templates before the first batch."""
        ...

    def try_out(self) -> None:
        """Raises ModelError where it does not work."""
        ...

    def rest(self) -> None:
        """Free what a quiet stream does not need; called every `REST_S`."""
        ...


S = TypeVar("S", bound=Serving)


class ModelMissingError(ModelError):
    """No version could be adopted yet."""


class Follower(Generic[S]):
    """Holds the reference to the model in service and moves it on."""

    def __init__(
        self, pointer: Callable[[], int | None], load: Callable[[int], S],
        report: Callable[[str, int, str], None],
    ) -> None:  # fmt: skip
        """Takes the two ways into the store.

        Args:
            pointer: The version that `current` names, or None if there is no model yet. Raises
                ModelError where the store cannot be read.
            load: Builds a verified version (steps 2). Raises ModelError.
            report: Called with (outcome, version, sentence); outcome is `swapped`, `refused`,
                `unreachable` (version -1), or `recovered` where the store names the version in service again
                after one of the last two; with shadow scoring also `shadowing` and `taken_back`. The same refusal
                is reported once.
        """
        self._pointer = pointer
        self._load = load
        self._report = report
        self._model: S | None = None
        self._last_report: tuple[str, int, str] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def get(self) -> S:
        """The model in service."""
        model = self._model
        if model is None:
            raise ModelMissingError("no model is in service yet")
        return model

    @property
    def ready(self) -> bool:
        """Whether there is a model in service."""
        return self._model is not None

    def look(self) -> bool:
        """Check the store once; True if another version was adopted. The steps are those of the module."""
        version = -1
        try:
            pointed = self._pointer()  # 1
            if pointed is None:
                raise ModelMissingError("the store holds no such model yet; publish one with `driftline train`")
            version = pointed
            if self._settled(version):
                return False
            candidate = self._load_for(version)  # 2
            candidate.catch_up()  # 3
            candidate.try_out()  # 4
        except ModelError as error:
            self._tell("unreachable" if version < 0 else "refused", version, str(error))
            return False
        return self._take_over(candidate)  # 5

    def _load_for(self, version: int) -> S:
        """What is activated when the pointer names that version."""
        return self._load(version)

    def _settled(self, version: int) -> bool:
        """Whether there is nothing to load for the version that the pointer names."""
        if self._model is None or version != self._model.version:
            return False
        if self._failed:
            self._tell("recovered", version, f"{self._model.name} version {version} is in service")
        return True

    def _take_over(self, candidate: S) -> bool:
        """Step 5; whether the candidate is in service now."""
        self._model = candidate
        self._tell("swapped", candidate.version, f"{candidate.name} version {candidate.version} is in service")
        return True

    @property
    def _failed(self) -> bool:
        return self._last_report is not None and self._last_report[0] in ("refused", "unreachable", "taken_back")

    def _tell(self, outcome: str, version: int, sentence: str) -> bool:
        """Report a status unless it repeats the last one; whether it was new."""
        if self._last_report == (outcome, version, sentence):
            return False
        self._last_report = (outcome, version, sentence)
        self._report(outcome, version, sentence)
        return True

    def follow(self, poll_s: float) -> None:
        """Checks the store every `poll_s` seconds, in a thread of its own, until `stop`."""

        def watch() -> None:
            rested_s = 0.0
            while not self._stop.wait(poll_s):
                rested_s += poll_s
                try:
                    self.look()
                    if rested_s >= REST_S and self._model is not None:
                        rested_s = 0.0
                        self._model.rest()
                except Exception as error:
                    # The edge of a thread: no error here may stop the polling.
                    if self._tell("refused", -1, f"looking at the model store failed: {error!r}"):
                        log.exception("checking the model store failed")

        self._thread = threading.Thread(target=watch, name="model-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a load under way is finished first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
