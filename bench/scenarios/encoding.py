"""Scenarios of text encoder and training on a device (`--set device=cuda`): texts and examples per second."""

import itertools
import time

from bench.data.detection_data import hdfs_sessions
from bench.data.loghub import samples
from bench.harness import Outcome, Run, Scenario
from models.detectors.bert_cnn import BertCnn, BertCnnSettings
from models.text.encoder import open_encoder


def encode_templates(run: Run) -> Outcome:
    """Templates of HDFS, each with a number of its own so that none is equal: what a new version of a program brings.

    Settings: `device`, `encoder`, `texts`.
    """
    texts = list(hdfs_sessions().templates.values())
    count = run.setting("texts", 2_000)
    numbered = (f"{text} {i}" for i, text in enumerate(itertools.cycle(texts)))
    return Outcome({"texts_per_s": _rate(run, list(itertools.islice(numbered, count)))})


def encode_messages(run: Run) -> Outcome:
    """Lines of all Loghub samples, not their templates: nothing is remembered, and batches are cut by tokens.

    Settings: `device`, `encoder`, `texts`.
    """
    lines = [line for sample in samples().values() for line in sample.lines]
    step = max(1, len(lines) // run.setting("texts", 2_000))
    return Outcome({"texts_per_s": _rate(run, [line.decode("utf-8", "replace") for line in lines[::step]])})


def train_step(run: Run) -> Outcome:
    """Training of `bert_cnn` on the sessions of HDFS, without validation. Settings: `device`, `encoder`, `epochs`."""
    data, epochs = hdfs_sessions(), run.setting("epochs", 2)
    settings = {"encoder": run.setting("encoder", "minilm"), "training": {"epochs": epochs}}
    detector = BertCnn(BertCnnSettings.model_validate(settings), device=run.setting("device", "cpu"))
    detector.learn_templates(data.templates)
    report = detector.fit(data.windows, data.labels, data.templates)
    steps = epochs * -(-len(data.windows) // detector.options.training.batch_size)
    return Outcome({"windows_per_s": len(report.history) * len(data.windows) / report.train_s, "steps": steps})


def _rate(run: Run, texts: list[str]) -> float:
    """Distinct texts encoded in a second; the first call, which loads the weights, is not in it."""
    encoder = open_encoder(run.setting("encoder", "minilm"), run.setting("device", "cpu"))
    encoder.encode(texts[:64])
    started = time.perf_counter()
    encoder.encode(texts)
    return len(set(texts)) / (time.perf_counter() - started)


ENCODE_TEMPLATES = Scenario("encode-templates", "Text encoder on templates, none remembered", encode_templates, {})
ENCODE_MESSAGES = Scenario("encode-messages", "Text encoder on whole real lines, none remembered", encode_messages, {})
TRAIN_STEP = Scenario("train-step", "Training of bert_cnn, windows a second", train_step, {}, detectors=("bert_cnn",))
