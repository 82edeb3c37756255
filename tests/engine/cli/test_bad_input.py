"""Every unusable input: exit code 2, one sentence that names the file, nothing half-written."""

import gzip
import hashlib
import shutil

import orjson
import pytest

WRITERS = ("train", "evaluate", "recalibrate")


@pytest.fixture(params=WRITERS)
def refused(request, driftline, place, tmp_path):
    """Runs a command that reads a labelled log; gives the sentence, once all else is checked."""
    store = tmp_path / "store"
    shutil.copytree(place.store, store)
    before = sorted(p.relative_to(store) for p in store.rglob("*"))

    def run(log, labels=None, *extra):
        data = ["--data", log, *([] if labels is None else ["--labels", labels])]
        command = {
            "train": ["train", "bert_cnn", "--set", "encoder=hashing:32", "--runs", tmp_path / "runs"],
            "evaluate": ["evaluate", "--out", tmp_path / "out"],
            "recalibrate": ["models", "recalibrate", "bert_cnn", "--threshold", "best_f1"],
        }[request.param]
        ran = driftline(*command, *data, "--store", store, *extra)
        assert ran.code == 2
        assert "Traceback" not in ran.err
        sentence = ran.err.strip().splitlines()[-1]
        assert sentence.startswith("driftline: ")
        assert sorted(p.relative_to(store) for p in store.rglob("*")) == before
        assert not list((tmp_path / "out").glob("*"))
        assert not list((tmp_path / "runs").glob("*"))
        return sentence

    return run


def test_a_log_that_is_missing(refused, place, tmp_path):
    assert f"{tmp_path / 'none.log'}: no such file" in refused(tmp_path / "none.log", place.labels)


def test_a_log_that_is_truncated(refused, place, tmp_path):
    path = tmp_path / "app.log.gz"
    path.write_bytes(gzip.compress(place.log.read_bytes())[:-2000])
    assert f"{path} is truncated or damaged" in refused(path, place.labels)


def test_a_log_that_is_not_what_its_name_says(refused, place, tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + place.log.read_bytes())
    assert f"{path} is a PNG image" in refused(path, place.labels)


def test_a_log_of_another_format(refused, place, tmp_path):
    path = tmp_path / "app.log"
    path.write_text("this is no line of that format\n" * 20)
    assert f"{path} is not in the format hdfs" in refused(path, place.labels, "--format", "hdfs")


def test_labels_by_session_for_a_log_without_sessions(refused, place, tmp_path):
    path = tmp_path / "app.log"
    path.write_text("this is no line of that format\n" * 20)
    assert f"{place.labels} has labels by session, but no line of {path} has a session key" in refused(
        path, place.labels
    )


def test_an_empty_log(refused, place, tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"")
    assert f"{path} gave no window" in refused(path, place.labels)


def test_labels_that_are_missing(refused, place, tmp_path):
    assert f"{tmp_path / 'none.csv'}: cannot be read: No such file" in refused(place.log, tmp_path / "none.csv")


def test_no_labels_where_labels_are_needed(refused, place):
    assert f"{place.log} has no labels" in refused(place.log)


def test_labels_that_are_no_labels(refused, place, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("BlockId,Label\nblk_1,perhaps\n")
    assert f"{path}: the column label has the label 'perhaps'" in refused(place.log, path)


def test_one_class_only(refused, place, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(place.labels.read_text().replace("Anomaly", "Normal"))
    sentence = refused(place.log, path)
    assert f"of {place.log} are normal; windows of both classes are needed" in sentence


def test_labels_of_other_sessions(refused, place, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("BlockId,Label\nsomeone,Normal\nelse,Anomaly\n")
    assert f"{path} names none of the" in refused(place.log, path)


@pytest.fixture
def damaged(place, tmp_path):
    """A copy of the store whose bert_cnn a test may break."""
    store = tmp_path / "damaged"
    shutil.copytree(place.store, store)
    return store / "bert_cnn" / "1"


def test_weights_that_were_changed(driftline, place, damaged):
    path = damaged / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    ran = driftline("evaluate", *place.data, "--store", damaged.parents[1])
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert f"sha256 of {path} is not the card's" in ran.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"filters": 16}}, "the weights are not those of this bert_cnn"),
        ({"settings": {"encoder": "hashing:64"}}, "the weights were trained on encoder hashing"),
        ({"settings": {"colour": "red"}}, "settings of bert_cnn: colour"),
        ({"detector": "event_counts", "settings": None}, "event_counts"),
        ({"detector": "crystal_ball"}, "unknown detector 'crystal_ball'; known are bert_cnn"),
    ],
)
def test_a_card_of_another_architecture_or_encoder(driftline, place, damaged, change, words):
    card = orjson.loads((damaged / "card.json").read_bytes())
    settings = change.get("settings", {})
    card |= change | {"settings": {} if settings is None else card["settings"] | settings}
    raw = orjson.dumps(card)
    (damaged / "card.json").write_bytes(raw)
    pointer = {"version": 1, "card_sha256": hashlib.sha256(raw).hexdigest()}
    (damaged.parent / "current").write_bytes(orjson.dumps(pointer))
    ran = driftline("score", place.log, "--store", damaged.parents[1])
    assert ran.code == 2
    sentence = ran.err.strip()
    assert sentence.startswith("driftline: version 1 of bert_cnn cannot be used here: ")
    assert words in sentence
    assert "\n" not in sentence


@pytest.fixture
def spoilt_encoder(tmp_path):
    """A folder with a small BERT, one weight of which is NaN."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path / "spoilt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "block"]
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertModel(BertConfig(vocab_size=len(words), **size))
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[1] = torch.nan
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    return folder


def test_an_embedding_that_is_not_finite(driftline, place, tmp_path, spoilt_encoder):
    own = ["--set", f"encoder={spoilt_encoder}", "--store", tmp_path / "store", "--runs", tmp_path / "runs"]
    ran = driftline("train", "bert_cnn", *place.data, *own)
    assert ran.code == 2
    sentence = ran.err.strip().splitlines()[-1]
    assert sentence.startswith("driftline: ")
    assert f"{spoilt_encoder / 'model.safetensors'} gives" in sentence
    assert "not finite" in sentence
    assert not list((tmp_path / "store").glob("*/*"))
    assert not list((tmp_path / "runs").glob("*"))


def test_a_region_file_that_is_missing(driftline, place, tmp_path):
    ran = driftline("score", place.log, "--region", tmp_path / "none.toml")
    assert ran.code == 2
    assert f"{tmp_path / 'none.toml'}: no such file" in ran.err
