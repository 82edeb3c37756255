from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.base import ModelSettingsError, ModelStoreError, TrainingError
from models.classify.base import CLASSES, Lines
from models.classify.checks import LineWorkload
from models.classify.dann_bert import DannBertNetwork, Reversal, SourceHead, strength_at
from models.classify.finetune_encoder import adapted, last_layers
from models.classify.lora_bert import heaviest
from models.classify.registry import build
from models.text.encoder import HashingEncoder, open_encoder
from models.training.local_training import LocalTraining, within_round

QUICK = {"epochs": 8, "batch_size": 16, "learning_rate": 0.01}
STILL = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-9}
DANN_LIKE: dict[str, Any] = {"encoder": "hashing:32", "training": QUICK}
DANN: dict[str, Any] = {**DANN_LIKE, "features": 16}


def test_reversal_turns_the_gradient() -> None:
    features = torch.tensor([[1.0, -2.0]], requires_grad=True)
    weight = torch.tensor([[3.0, 5.0]])
    out = Reversal.apply(features, 0.25)
    assert torch.equal(out, features)
    (out * weight).sum().backward()
    assert torch.equal(features.grad, -0.25 * weight)


def test_only_the_way_to_the_features_is_turned() -> None:
    torch.manual_seed(0)
    head, features = SourceHead(4, 3), torch.randn(6, 4)
    gradients = {}
    for strength in (0.0, 1.0):
        given = features.clone().requires_grad_()
        head.zero_grad()
        torch.nn.functional.cross_entropy(head(given, strength), torch.arange(6) % 3).backward()
        gradients[strength] = given.grad, head.linear.weight.grad.clone()
    assert torch.equal(gradients[0.0][0], torch.zeros(6, 4))
    assert gradients[1.0][0].abs().sum() > 0
    assert torch.equal(gradients[0.0][1], gradients[1.0][1])


def test_reversal_grows_from_nothing_to_all() -> None:
    strengths = [strength_at(p) for p in (0.0, 0.1, 0.5, 1.0)]
    assert strengths[0] == 0
    assert strengths == sorted(strengths)
    assert strengths[1] == pytest.approx(0.4621, abs=1e-4)  # tanh(10 p / 2)
    assert strengths[-1] > 0.999


def apart(reversal: bool) -> tuple[float, float]:
    """How far apart features keep two sources, as a share of their variance; and the labels that are right."""
    rng = np.random.default_rng(0)
    words = {0: "opened closed started", 1: "failed refused denied"}
    places = ["alpha beta gamma", "north south east"]
    labels, sources = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    messages = [
        " ".join([*rng.permutation(places[s].split()), rng.choice(words[y].split())])
        for y, s in zip(labels.tolist(), sources.tolist(), strict=True)
    ]
    training = {"epochs": 40, "batch_size": 16, "learning_rate": 0.01}
    settings = DANN | {"training": training, "reversal": reversal, "reversal_weight": 1.0, "dropout": 0.0}
    classifier = build("dann_bert", settings, device="cpu")
    lines = Lines.of(messages)
    classifier.fit(lines, labels, domains=[str(s) for s in sources], seed=1)
    network = classifier.network  # type: ignore[attr-defined]
    assert isinstance(network, DannBertNetwork)
    with torch.inference_mode():
        features = network(torch.from_numpy(HashingEncoder(32).encode(messages))).numpy()
    between = features[sources == 0].mean(0) - features[sources == 1].mean(0)
    right = (classifier.probabilities(lines).argmax(1) == labels).mean()
    return float((between**2).sum() / features.var(0).sum()), float(right)


def test_reversal_brings_sources_together_and_keeps_the_classes_apart() -> None:
    (far, right), (far_without, right_without) = apart(True), apart(False)
    assert right > 0.95
    assert right_without > 0.95
    assert far < 0.7 * far_without


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dann_bert", DANN | {"training": STILL}),
        ("hybrid_bert", {"encoder": "hashing:32", "mixed": 16, "training": STILL}),
        ("lora_bert", {"training": STILL, "head": QUICK}),
    ],
)
def test_fit_goes_on_from_loaded_weights(
    name: str, settings: Mapping[str, Any], workload: LineWorkload, small_bert: Path
) -> None:
    settings = {"encoder": str(small_bert), **settings}
    trained = build(name, {**settings, "training": QUICK}, device="cpu")
    trained.fit(workload.lines, workload.labels)
    other = build(name, settings, device="cpu")
    other.load_weights(trained.weights(), trained.extra())
    few = workload.lines.take(np.arange(60))
    other.fit(few, workload.labels[:60], seed=9)
    np.testing.assert_allclose(other.probabilities(workload.lines), trained.probabilities(workload.lines), atol=1e-4)


def test_adapters_and_head_are_all_the_weights(workload: LineWorkload, small_bert: Path) -> None:
    classifier = build("lora_bert", {"encoder": str(small_bert), "training": QUICK, "head": QUICK}, device="cpu")
    encoder = classifier._encoder  # type: ignore[attr-defined]
    before = encoder.encode(workload.lines.messages)
    classifier.fit(workload.lines, workload.labels)
    assert np.array_equal(encoder.encode(workload.lines.messages), before)
    weights = classifier.weights()
    adapters = {n: v for n, v in weights.items() if "lora_" in n}
    # Queries and values of two layers, two matrices of rank 8 and size 32 each.
    assert sorted(v.shape for v in adapters.values()) == [(8, 32)] * 4 + [(32, 8)] * 4
    assert all(np.abs(v).max() > 0 for v in adapters.values())
    assert set(weights) - set(adapters) == {"centred.shift", "centred.scale", "head.weight", "head.bias"}


def test_untrained_adapters_change_nothing(workload: LineWorkload, small_bert: Path) -> None:
    encoder = open_encoder(str(small_bert))
    bert = adapted(encoder, rank=2, alpha=4, layers=1)
    assert {n.split("/")[2] for n in bert.trained} == {"1"}
    with torch.inference_mode():
        found = bert(workload.lines.messages).numpy()
    np.testing.assert_allclose(found, encoder.encode(workload.lines.messages), atol=1e-5)


def test_an_adapter_adds_its_product(workload: LineWorkload, small_bert: Path) -> None:
    encoder = open_encoder(str(small_bert))
    bert, plain = adapted(encoder, rank=2, alpha=6, layers=None), last_layers(encoder, 2)
    torch.manual_seed(0)
    with torch.no_grad():
        for value in bert.trained.values():
            value.normal_(std=0.3)
        for name in [n for n in bert.trained if "lora_B" in n]:
            layer = name.split("/lora_B")[0]
            product = bert.trained[name] @ bert.trained[f"{layer}/lora_A/default/weight"]
            plain.trained[f"{layer}/weight"] += 6 / 2 * product
        found = bert(workload.lines.messages)
        torch.testing.assert_close(found, plain(workload.lines.messages), atol=1e-4, rtol=1e-4)
    assert np.abs(found.numpy() - encoder.encode(workload.lines.messages)).max() > 0.01


def test_trained_layers_are_weights_and_leave_the_encoder_alone(workload: LineWorkload, small_bert: Path) -> None:
    settings = DANN | {"encoder": str(small_bert), "trained_layers": 1}
    classifier = build("dann_bert", settings, device="cpu")
    encoder = classifier._encoder  # type: ignore[attr-defined]
    before = encoder.encode(workload.lines.messages)
    classifier.fit(workload.lines, workload.labels)
    assert np.array_equal(encoder.encode(workload.lines.messages), before)
    layers = {n.split("/")[2] for n in classifier.weights() if n.startswith("bert.trained.encoder")}
    assert layers == {"1"}


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("lora_bert", {"encoder": "hashing"}, "has no layers to train"),
        ("lora_bert", {"layers": 3}, "has 2 layers, not 3"),
        ("dann_bert", {"trained_layers": 9}, "has 2 layers, not 9"),
        ("dann_bert", {"encoder": "hashing", "trained_layers": 1}, "a BERT such as minilm is needed"),
    ],
)
def test_an_encoder_without_such_layers(name: str, settings: Mapping[str, Any], words: str, small_bert: Path) -> None:
    with pytest.raises(ModelSettingsError, match=words):
        build(name, {"encoder": str(small_bert), **settings}, device="cpu")


def test_rare_classes_and_repeats_weigh_as_told() -> None:
    lines = Lines.of(["a", "a", "b", "c"], formats=["x", "x", "y", "x"])
    labels = np.array([0, 0, 0, 3])
    settings = DANN | {"class_power": 1.0}
    examples = build("dann_bert", settings, device="cpu")._examples(  # type: ignore[attr-defined]
        lines, labels, np.array([3.0, 6.0, 1.0, 1.0]), lines.formats, 0
    )
    assert examples.labels.tolist() == [0, 0, 3]
    assert examples.domains.tolist() == [0, 1, 0]
    weights = examples.weights.numpy()
    assert weights.mean() == pytest.approx(1)
    assert weights[0] / weights[1] == pytest.approx(3)  # nine lines to the power of a half
    assert weights[:2].sum() == pytest.approx(weights[2])  # either class weighs the same


def test_the_heaviest_stand_for_the_others() -> None:
    kept, weights = heaviest(["t", "t", "u", "t", "u"], np.array([1.0, 4.0, 2.0, 3.0, 2.0]), 2)
    assert kept.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(weights, [4 * 8 / 7, 2, 3 * 8 / 7, 2])


def test_most_texts_keeps_every_class(workload: LineWorkload, small_bert: Path) -> None:
    classifier = build("lora_bert", {"encoder": str(small_bert), "most_texts": 10}, device="cpu")
    labels = np.minimum(workload.labels, 2)
    kept, _ = classifier._chosen(workload.lines, labels, np.ones(len(labels)), 0)  # type: ignore[attr-defined]
    assert len(kept) < 15
    assert set(labels[kept]) == {0, 1, 2}


class Stages:
    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        self.epochs.append((done, total))


def test_epochs_are_searched_for_and_then_all_lines_learnt(workload: LineWorkload) -> None:
    seen, classifier = Stages(), build("dann_bert", DANN | {"validation_share": 0.2}, device="cpu")
    report = classifier.fit(workload.lines, workload.labels, progress=seen)
    last = report.best_epoch + 1
    assert seen.epochs == [(n, 8) for n in range(1, 9)] + [(n, last) for n in range(1, last + 1)]
    assert len(report.history) == 8
    assert report.history[report.best_epoch]["val_f1"] == max(h["val_f1"] for h in report.history)


def test_given_lines_decide_where_there_are_some(workload: LineWorkload) -> None:
    seen, classifier = Stages(), build("dann_bert", DANN, device="cpu")
    held = workload.lines.take(np.arange(30))
    report = classifier.fit(workload.lines, workload.labels, validation=(held, workload.labels[:30]), progress=seen)
    assert seen.epochs == [(n, 8) for n in range(1, 9)]
    assert all("val_f1" in h for h in report.history)


def test_a_round_decides_its_epochs(workload: LineWorkload) -> None:
    seen, classifier = Stages(), build("dann_bert", DANN, device="cpu")
    with within_round(LocalTraining(epochs=3)):
        classifier.fit(workload.lines, workload.labels, progress=seen)
    assert seen.epochs == [(1, 3), (2, 3), (3, 3)]


def test_texts_are_encoded_once_for_all_classifiers(
    workload: LineWorkload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = HashingEncoder.encode

    def recorded(self: HashingEncoder, texts: Sequence[str]) -> np.ndarray:
        encoded.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(HashingEncoder, "encode", recorded)
    build("dann_bert", DANN, device="cpu", cache=tmp_path).fit(workload.lines, workload.labels)
    assert len(encoded) == len(set(encoded)) > 0
    encoded.clear()
    again = build("dann_bert", DANN, device="cpu", cache=tmp_path)
    again.fit(workload.lines, workload.labels)
    again.probabilities(workload.lines)
    assert encoded == []
    again.explain(workload.lines.take(np.array([0])))
    assert encoded
    assert set(again._vectors._known) == set(again._texts(workload.lines))  # type: ignore[attr-defined]


def test_hybrid_sees_what_the_message_does_not_say() -> None:
    count = 60
    labels = np.arange(count) % 2
    messages = [f"job {i // 2} done" for i in range(count)]
    levels = ["info" if y == 0 else "fatal" for y in labels]
    lines = Lines.of(messages, levels=levels)
    settings = {"encoder": "hashing:32", "mixed": 16, "training": QUICK | {"epochs": 40}}
    classifier = build("hybrid_bert", settings, device="cpu")
    classifier.fit(lines, labels)
    assert (classifier.probabilities(lines).argmax(1) == labels).all()
    assert classifier.explain(lines.take(np.array([1])))[0][0].what == "level fatal"


def test_words_of_a_card_are_checked(workload: LineWorkload) -> None:
    classifier = build("hybrid_bert", {"encoder": "hashing:32", "mixed": 16, "training": QUICK}, device="cpu")
    classifier.fit(workload.lines, workload.labels)
    before = classifier.probabilities(workload.lines)
    with pytest.raises(ModelStoreError, match="vocabulary"):
        classifier.load_weights(classifier.weights(), classifier.extra() | {"vocabulary": 3})
    with pytest.raises(ModelStoreError, match="expected float32"):
        classifier.load_weights(classifier.weights(), classifier.extra() | {"vocabulary": ["one"]})
    assert np.array_equal(classifier.probabilities(workload.lines), before)


def test_a_class_of_one_line_is_learnt() -> None:
    lines = Lines.of(["disk failed", *(f"user {i} came" for i in range(30))])
    labels = np.array([CLASSES.index("hardware_issue"), *([0] * 30)])
    classifier = build("dann_bert", DANN, device="cpu")
    classifier.fit(lines, labels)
    assert classifier.probabilities(lines)[0].argmax() == CLASSES.index("hardware_issue")


def test_a_learning_rate_that_explodes_is_said(workload: LineWorkload) -> None:
    settings = DANN | {"training": {"epochs": 3, "learning_rate": 1e30}}
    with pytest.raises(TrainingError, match="lower learning_rate"):
        build("dann_bert", settings, device="cpu").fit(workload.lines, workload.labels)


@pytest.mark.parametrize(("name", "settings"), [("dann_bert", DANN), ("hybrid_bert", {**DANN_LIKE, "mixed": 16})])
def test_levels_are_read_only_where_training_had_some(
    name: str, settings: dict[str, Any], workload: LineWorkload
) -> None:
    bare = Lines.of(workload.lines.messages, workload.lines.templates, formats=workload.lines.formats)
    turned = Lines.of(
        workload.lines.messages, levels=["error" if v == "info" else "info" for v in workload.lines.levels]
    )
    without, using = build(name, settings, device="cpu"), build(name, settings, device="cpu")
    without.fit(bare, workload.labels)
    using.fit(workload.lines, workload.labels)
    loaded = build(name, settings, device="cpu")
    loaded.load_weights(without.weights(), without.extra())
    plain = Lines.of(turned.messages)
    for classifier in (without, loaded):
        found = classifier.probabilities(turned).argmax(1), classifier.probabilities(plain).argmax(1)
        assert np.array_equal(*found)
    assert not np.allclose(using.probabilities(turned), using.probabilities(plain))
