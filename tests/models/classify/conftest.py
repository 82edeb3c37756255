from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from models.classify.checks import LineWorkload, make_workload

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789<>*_()/:.,=-"


@pytest.fixture(scope="session")
def workload() -> LineWorkload:
    return make_workload()


def random_bert(folder: Path, texts: Iterable[str]) -> Path:
    """Makes a BERT of two layers and random weights in a folder, which knows the words of the texts."""
    import transformers

    words = sorted({w.strip("(),<>*") for text in texts for w in text.lower().split()} - {""})
    pieces = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(w for w in words if w not in pieces)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=256, initializer_range=0.3,
        )  # fmt: skip
        transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `random_bert`; of the words of the workload."""
    return random_bert(tmp_path_factory.mktemp("bert"), make_workload().lines.messages)
