from pathlib import Path

import pytest
import torch

from models.classify.checks import Made, workload

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789<>*_()/:.,=-"


@pytest.fixture(scope="session")
def made() -> Made:
    return workload()


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of two layers and random weights, which knows the words of the workload."""
    import transformers

    folder = tmp_path_factory.mktemp("bert")
    words = sorted({w.strip("(),<>*") for m in workload().lines.messages for w in m.lower().split()} - {""})
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
