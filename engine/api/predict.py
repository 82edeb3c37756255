"""The routes of the seven-class system, by its names and shapes, and what they answer from."""

from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO

import numpy as np
import orjson
from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from engine.api.auth import Viewer
from engine.api.classified_lines import Shown, Tally
from engine.api.classifying import BertVariant, Chosen, Classifiers, ModelType, candidates
from engine.api.problems import RESPONSES, ProblemError
from engine.api.services import Services, Svc
from engine.api.uploads import UploadRoute
from engine.api.window_scores import WindowJudge, WindowScores
from foundation.documents.label import LineClass
from models.classify.base import CLASSES, NORMAL

router = APIRouter(tags=["classification"], responses=RESPONSES, route_class=UploadRoute)

READ_BYTES = 1 << 20
"""Bytes read from an upload at once."""


class PredictRequest(BaseModel):
    """Lines to classify."""

    logs: Annotated[list[str] | str, Field(description="Log lines: a list, or one text with line ends.")]
    model_type: Annotated[ModelType, Field(description="ml: trees. bert: a fine-tuned encoder.")] = "ml"
    bert_variant: Annotated[BertVariant, Field(description="Which encoder, with bert.")] = "dann"
    include_probabilities: Annotated[bool, Field(description="Give the probability of every class.")] = True
    include_templates: Annotated[bool, Field(description="Give the template of each line.")] = True


class Prediction(BaseModel):
    """The class of a line."""

    class_index: Annotated[int, Field(ge=0, lt=len(CLASSES))]
    class_name: LineClass
    confidence: Annotated[float, Field(ge=0, le=1, description="Probability of the class.")]
    probabilities: Annotated[dict[LineClass, float] | None, Field(description="Of every class, if asked for.")]


class PredictedLog(BaseModel):
    """A line with its class."""

    raw: Annotated[str, Field(description="The line as it was sent.")]
    log_type: Annotated[str, Field(description="Recognised format; unknown if the line could not be parsed.")]
    parsed_content: Annotated[str, Field(description="The message without the header.")]
    template: Annotated[str | None, Field(description="Template of the line, if asked for.")]
    prediction: Prediction


class AnalyzedLog(PredictedLog):
    """A line with its class and the reasons for it."""

    reasons: Annotated[str, Field(description="The weightiest reasons, such as `word 'refused' +0.31`.")]


class PredictSummary(BaseModel):
    """Counts over all lines."""

    class_distribution: Annotated[dict[LineClass, int], Field(description="Lines by class.")]
    log_type_distribution: Annotated[dict[str, int], Field(description="Lines by format.")]
    anomaly_rate: Annotated[float, Field(ge=0, le=1, description="Share of the lines that are not normal.")]


class PredictHead(BaseModel):
    """What both answers begin with."""

    status: Annotated[str, Field(description="success")]
    timestamp: str
    total_logs: int
    model_used: Annotated[str, Field(description="The classifier with its version; rules, and why, without one.")]


class PredictResult(PredictHead):
    """Classified lines."""

    logs: list[PredictedLog]
    summary: PredictSummary


class AnalyzeResult(PredictHead, WindowScores):
    """Classified lines with reasons, and the scores of the windows that they form."""

    logs: list[AnalyzedLog]
    summary: PredictSummary


class ModelInfo(BaseModel):
    """Which classifier answers for each choice of model."""

    classes: list[LineClass]
    models: Annotated[dict[str, str], Field(description="Choice, such as ml or bert/dann, to what answers.")]


class AvailableModels(BaseModel):
    """What can be chosen."""

    ml: Annotated[list[str], Field(description="Names of tree classifiers in the store.")]
    bert: Annotated[list[BertVariant], Field(description="Variants in the store.")]
    fallback: Annotated[str, Field(description="What answers if the store has none of those asked for.")]
    versions: Annotated[dict[str, int], Field(description="Current version by name.")]


@router.get("/model-info")
def model_info(_: Viewer, request: Request) -> ModelInfo:
    """Which classifier answers for each choice of model."""
    found = _classifiers(request)
    chosen = {"ml": found.choose("ml", "dann").name}
    for variant in ("dann", "lora", "hybrid"):
        chosen[f"bert/{variant}"] = found.choose("bert", variant).name
    return ModelInfo(classes=list(CLASSES), models=chosen)


@router.get("/available-models")
def available_models(_: Viewer, request: Request) -> AvailableModels:
    """The line classifiers of the model store."""
    stored = dict(_classifiers(request).stored())
    variants: list[BertVariant] = ["dann", "lora", "hybrid"]
    return AvailableModels(
        ml=[name for name in candidates("ml", "dann") if name in stored],
        bert=[v for v in variants if candidates("bert", v)[0] in stored], fallback="rules", versions=stored,
    )  # fmt: skip


@router.post("/api/predict", response_model=PredictResult)
def predict(caller: Viewer, services: Svc, request: Request, given: PredictRequest) -> StreamingResponse:
    """Classify lines into seven classes."""
    services.predictions.spend(caller.name)
    return _answer(services, request, given, [_block_of(services, given)])


@router.post("/api/analyze", response_model=AnalyzeResult)
def analyze(caller: Viewer, services: Svc, request: Request, given: PredictRequest) -> StreamingResponse:
    """Classify lines with the reasons for each class, and score the windows that they form."""
    services.predictions.spend(caller.name)
    judge: WindowJudge = request.app.state.window_judge
    return _answer(services, request, given, [_block_of(services, given)], judge=judge)


@router.post("/api/predict-batch", response_model=PredictResult)
def predict_batch(
    caller: Viewer, services: Svc, request: Request,
    file: Annotated[UploadFile, File(description="A log, one record a line.")],
    model_type: Annotated[ModelType, Form()] = "ml",
    bert_variant: Annotated[BertVariant, Form()] = "dann",
    include_probabilities: Annotated[bool, Form()] = True,
    include_templates: Annotated[bool, Form()] = True,
) -> StreamingResponse:  # fmt: skip
    """Classify an uploaded log; the answer is sent while it is read."""
    services.predictions.spend(caller.name)
    given = PredictRequest(
        logs=[], model_type=model_type, bert_variant=bert_variant, include_probabilities=include_probabilities,
        include_templates=include_templates,
    )  # fmt: skip
    blocks = line_blocks(file.file, services.settings.requests.line_bytes)
    return _answer(services, request, given, blocks)


def _classifiers(request: Request) -> Classifiers:
    found: Classifiers = request.app.state.classifiers
    return found


def _block_of(services: Services, given: PredictRequest) -> bytes:
    """The lines of a request, each with a line end."""
    limits = services.settings.requests
    texts = given.logs.splitlines() if isinstance(given.logs, str) else given.logs
    if len(texts) > limits.lines:
        raise ProblemError(413, f"{len(texts):,} lines; at most {limits.lines:,} are classified at once")
    lines = [text.replace("\n", " ").encode("utf-8", "replace") for text in texts]
    longest = max(map(len, lines), default=0)
    if longest > limits.line_bytes:
        raise ProblemError(413, f"a line has {longest:,} bytes; at most {limits.line_bytes:,} are allowed")
    return b"".join(line + b"\n" for line in lines)


def line_blocks(file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    r"""The lines of a file without `\r`, each with a line end, many at once.

    Longer ones are cut, so that a file without line ends needs no more memory.
    """
    rest, cut = b"", False
    while chunk := file.read(READ_BYTES):
        chunk = rest + chunk
        end = chunk.rfind(b"\n") + 1
        whole, rest = chunk[:end], chunk[end:]
        if cut and whole:
            whole, cut = whole[whole.index(b"\n") + 1 :], False
        if whole:
            yield _bounded(whole.replace(b"\r\n", b"\n"), max_bytes)
        if cut:
            rest = b""
        elif len(rest) > max_bytes + 1:  # one more, which may be the \r
            yield rest[:max_bytes] + b"\n"
            rest, cut = b"", True
    if rest:
        yield rest.removesuffix(b"\r")[:max_bytes] + b"\n"


def _bounded(block: bytes, max_bytes: int) -> bytes:
    """Lines with line ends, none of them longer."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
    if int(np.diff(ends, prepend=-1).max()) - 1 <= max_bytes:
        return block
    return b"".join(line[:max_bytes] + b"\n" for line in block.split(b"\n")[:-1])


def _answer(
    services: Services, request: Request, given: PredictRequest, blocks: Iterable[bytes],
    *, judge: WindowJudge | None = None,
) -> StreamingResponse:  # fmt: skip
    """The answer; with a judge of windows also reasons and the scores of windows."""
    found = _classifiers(request)
    chosen = found.choose(given.model_type, given.bert_variant)
    shown = Shown(given.include_probabilities, given.include_templates, judge is not None)
    parts = _parts(services, found, chosen, shown, blocks)
    if judge is not None:
        parts = _with_windows(parts, judge, b"".join(blocks))
    return StreamingResponse(parts, media_type="application/json")


def _with_windows(parts: Iterator[bytes], judge: WindowJudge, block: bytes) -> Iterator[bytes]:
    """The parts of an answer with the scores of windows as its first fields."""
    head = next(parts)
    yield judge.scores(block).model_dump_json().encode()[:-1] + b"," + head[1:]
    yield from parts


def _parts(
    services: Services, found: Classifiers, chosen: Chosen, shown: Shown, blocks: Iterable[bytes]
) -> Iterator[bytes]:
    """The answer piece by piece, so that a long one needs no more memory than a short one."""
    head = {"status": "success", "timestamp": services.now(), "model_used": chosen.name}
    yield orjson.dumps(head)[:-1] + b',"logs":['
    tally, separator = Tally(), b""
    with found.reading(chosen.scorer, shown) as reader:
        for block in blocks:
            entries = reader.entries(block, services.now_ns(), tally)
            if entries:
                yield separator + entries[:-1]
                separator = b","
    total = sum(tally.classes)
    summary = {
        "class_distribution": dict(zip(CLASSES, tally.classes, strict=True)),
        "log_type_distribution": dict(tally.formats),
        "anomaly_rate": 1 - tally.classes[NORMAL] / total if total else 0.0,
    }
    yield b'],"summary":' + orjson.dumps(summary) + b',"total_logs":' + str(total).encode() + b"}"
