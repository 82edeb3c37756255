"""The files by which coordinator and ServerApp exchange a round.

::

    rounds/<id>/plan.json               the round to run            coordinator → ServerApp
    rounds/<id>/current.safetensors     the weights to start from   coordinator → ServerApp
    rounds/<id>/kept-<n>.safetensors    version n, which regions    coordinator → ServerApp
                                        serve in its place
    rounds/<id>/candidate.safetensors   the candidate's weights     ServerApp → coordinator
    rounds/<id>/steps.jsonl             a line for each step done   ServerApp → coordinator
    rounds/<id>/result.json             the result; written last    ServerApp → coordinator

All files except the steps are written by `foundation.durable`, so that a reader finds a complete file or none.
`result.json` has the checksum of the weights that it belongs to. When the round is done, both files of weights are
deleted: a published candidate is in the model store, and rounds would fill the disk. The other files are deleted
when the ledger deletes the round.
"""

import hashlib
import json
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from federation.errors import RoundFailedError, StorageError
from federation.protocol.records import UNLABELLED, HoldoutFigures, LabelledAnomalies, ModelSpec, Pairs, Weights
from federation.round.result import Baseline, Refusal, RegionVerdict, RoundResult, Standing
from federation.round.settings import RoundSettings
from foundation import durable
from foundation.documents.base import SCHEMA_VERSION, read
from foundation.documents.round_result import RegionFigures, RoundFailureDocument, RoundResultDocument
from models.thresholds.base import HeldOut

PLAN, CURRENT, STEPS = "plan.json", "current.safetensors", "steps.jsonl"
CANDIDATE, RESULT = "candidate.safetensors", "result.json"
_KEPT = "kept-*.safetensors"


@dataclass(frozen=True, slots=True)
class StepReport:
    """A completed step of the round: its name, its time (ns since the epoch, UTC), and its figures."""

    name: str
    time_ns: int
    figures: Mapping[str, float | str]


class KeptVersion(BaseModel):
    """An earlier version that regions serve; its weights are in a file of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(description="Number of the version.")
    threshold: float = Field(description="Its threshold.")
    regions: tuple[str, ...] = Field(description="Regions that serve it.")
    made_with: LabelledAnomalies = Field(UNLABELLED, description="Labelled anomalies that it was made with.")


class RoundPlan(BaseModel):
    """All that a round needs except the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round_id: str = Field(description="Id of the round; the same in all its messages, traces and records.")
    settings: RoundSettings = Field(description="Settings of the round.")
    spec: ModelSpec = Field(description="Model to train.")
    threshold: float = Field(description="Threshold of the current version, for the comparison on the holdout.")
    made_with: LabelledAnomalies = Field(
        UNLABELLED, description="Labelled anomalies that the current version was made with."
    )
    kept: tuple[KeptVersion, ...] = Field(
        (), description="Versions that regions serve instead of the current one, for the comparison in these regions."
    )
    traceparent: str = Field("", description="W3C trace context of the round.")


def write_kept(folder: Path, version: int, weights: Weights) -> None:
    """Write the weights of a version in `RoundPlan.kept`, before the plan.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the round's folder {folder} cannot be written: {error}") from error
    _write(folder / _kept(version), save(dict(weights)))


def read_kept(folder: Path, plan: RoundPlan) -> tuple[Baseline, ...]:
    """The versions in `RoundPlan.kept` with their weights.

    Raises:
        RoundFailedError: a file is missing or damaged.
    """
    try:
        return tuple(
            Baseline(frozenset(k.regions), _weights((folder / _kept(k.version)).read_bytes()), k.threshold, k.made_with)
            for k in plan.kept
        )
    except (OSError, SafetensorError) as error:
        raise RoundFailedError(f"a version that regions keep cannot be read from {folder}: {error}") from error


def _kept(version: int) -> str:
    return f"kept-{version}.safetensors"


def write_plan(folder: Path, plan: RoundPlan, weights: Weights) -> None:
    """Create the folder of a round with its plan; files of an earlier attempt are deleted.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (RESULT, CANDIDATE, STEPS):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the round's folder {folder} cannot be written: {error}") from error
    _write(folder / CURRENT, save(dict(weights)))
    _write(folder / PLAN, plan.model_dump_json(indent=1).encode())


def read_plan(folder: Path) -> tuple[RoundPlan, dict[str, Any]]:
    """The plan, and the weights to start from.

    Raises:
        RoundFailedError: one of the two is missing or damaged.
    """
    try:
        plan = RoundPlan.model_validate_json((folder / PLAN).read_bytes())
        return plan, _weights((folder / CURRENT).read_bytes())
    except (OSError, ValidationError, SafetensorError) as error:
        raise RoundFailedError(f"the plan of the round in {folder} cannot be read: {error}") from error


def add_step(folder: Path, name: str, figures: Mapping[str, float | str]) -> None:
    """Record that a step is done; see `federation.round.round.Report`."""
    with (folder / STEPS).open("a") as file:
        file.write(json.dumps({"name": name, "time_ns": time.time_ns(), "figures": dict(figures)}) + "\n")


def read_steps(folder: Path) -> tuple[StepReport, ...]:
    """The completed steps, in order; an incomplete last line is left for the next call.

    Raises:
        StorageError: they cannot be read.
    """
    try:
        lines = (folder / STEPS).read_text("utf-8").split("\n")[:-1]
        return tuple(StepReport(**json.loads(line)) for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"the steps of the round in {folder} cannot be read: {error}") from error


def write_result(folder: Path, result: RoundResult) -> None:
    """Write the result of the round: first the weights, then the result with their checksum.

    Raises:
        StorageError: the folder cannot be written.
    """
    raw = save(dict(result.weights))
    _write(folder / CANDIDATE, raw)
    held_out = None if result.held_out is None else result.held_out.model_dump(mode="json")
    own = {"weights": hashlib.sha256(raw).hexdigest(), "held_out": held_out}
    document = {"schema_version": SCHEMA_VERSION, **asdict(result), **own}
    _write(folder / RESULT, json.dumps(document, indent=1).encode())


def write_failure(folder: Path, reason: str, present: Sequence[str] | None = None) -> None:
    """Write that the round ended without a candidate, and the regions that took part, if known.

    Raises:
        StorageError: the folder cannot be written.
    """
    document: RoundFailureDocument = {
        "schema_version": SCHEMA_VERSION,
        "failed": reason,
        "present": None if present is None else list(present),
    }
    _write(folder / RESULT, json.dumps(document).encode())


def tidy(rounds: Path, known: Container[str]) -> None:
    """Delete the weights of all rounds, which are done, and all files of rounds that are not `known`.

    Files that remain after a kill or on a full disk are deleted by the next call. Other files stay, with their folder.

    Raises:
        OSError: a file cannot be deleted.
    """
    for folder in rounds.glob("*/"):
        unknown = folder.name not in known
        for name in (CURRENT, CANDIDATE, PLAN, STEPS, RESULT) if unknown else (CURRENT, CANDIDATE):
            (folder / name).unlink(missing_ok=True)
        for kept in folder.glob(_KEPT):
            kept.unlink(missing_ok=True)
        for partial in folder.glob(f"{durable.PARTIAL}*"):
            partial.unlink(missing_ok=True)
        if unknown and not any(folder.iterdir()):
            folder.rmdir()


def read_result(folder: Path) -> RoundResult | None:
    """The result of the round; None if it has not ended.

    Raises:
        RoundFailedError: it ended without a candidate, or the candidate's weights have another checksum.
        StorageError: the files cannot be read now; a later call may succeed.
    """
    try:
        decoded = json.loads((folder / RESULT).read_bytes())
        if isinstance(decoded, dict) and "failed" in decoded:
            failure = read(RoundFailureDocument, decoded)
            raise RoundFailedError(failure["failed"], failure.get("present"))
        return _result(read(RoundResultDocument, decoded), folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the result of the round in {folder} cannot be read: {error}") from error
    except ValueError as error:
        raise RoundFailedError(f"the result of the round in {folder} cannot be read: {error}") from error


def _weights(raw: bytes) -> dict[str, Any]:
    return dict(sorted(load(raw).items()))  # safetensors returns a different order every time


def _result(document: RoundResultDocument, folder: Path) -> RoundResult:
    try:
        raw = (folder / CANDIDATE).read_bytes()
        if hashlib.sha256(raw).hexdigest() != document["weights"]:
            raise RoundFailedError(f"{folder / CANDIDATE} does not have the checksum in {RESULT}")
        weights = _weights(raw)
    except FileNotFoundError as error:
        raise RoundFailedError(f"{folder / CANDIDATE} does not exist, but {RESULT} does") from error
    except OSError as error:
        raise StorageError(f"the result of the round in {folder} cannot be read: {error}") from error
    except SafetensorError as error:
        raise RoundFailedError(f"the result of the round in {folder} cannot be read: {error!r}") from error
    return RoundResult(
        round_id=document["round_id"],
        weights=weights,
        threshold=document["threshold"],
        accepted=document["accepted"],
        reason=document["reason"],
        figures=tuple(map(_figures, document["figures"])),
        participants=tuple(document["participants"]),
        refusals=tuple(Refusal(**refusal) for refusal in document["refusals"]),
        missing=tuple(document["missing"]),
        examples=document["examples"],
        epsilon=document["epsilon"],
        verdicts=tuple(
            RegionVerdict(
                v["region"],
                Standing(v["standing"]),
                v["adopts"],
                v["before"],
                v["after"],
                v["labelled"],
                v.get("alerts_added", 0),
                v.get("alerts_dropped", 0),
            )
            for v in document.get("verdicts", [])
        ),
        others_adopt=document.get("others_adopt", True),
        held_out=None if (held_out := document.get("held_out")) is None else HeldOut.model_validate(held_out),
        thresholds=document.get("thresholds", {}),
    )


def _figures(document: RegionFigures) -> HoldoutFigures:
    both, old, new, neither = document.get("unlabelled", [0, 0, 0, 0])
    before, after, seen = document.get("strange", [0, 0, 0])
    return HoldoutFigures(
        document["region"], tuple(document["current"]), tuple(document["candidate"]),
        Pairs(**document.get("answered", {})), Pairs(**document.get("ruled", {})), (both, old, new, neither),
        Pairs(**document.get("made_up", {})), (before, after, seen),
        LabelledAnomalies(**document.get("known", {})), Pairs(**document.get("anchors", {})),
    )  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    try:
        durable.write(path, content)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}") from error
