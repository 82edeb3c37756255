"""Mines templates with Drain3, and remembers what it answered for every masked text.

Drain (He et al., ICWS 2017) answers a message from its tree of templates and may change the tree in
doing so. An answer is remembered only if it changed nothing, and forgotten as soon as Drain adds or
generalises a template with the same number of tokens, which is all that can alter it (Drain never
compares messages of different lengths). So a remembered answer is always the one that Drain would
give now, and every line gets the template that Drain alone, fed line by line, gives it.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from drain3.drain import LogCluster  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.formats.masks import DEFAULT_MASKS, Mask, Masker
from engine.parsing.antonyms import GuardedDrain
from foundation.errors import DriftlineError
from models.base import template_id

OVERFLOW_TEXT = "<*>"
"""Template of lines that match none once `TemplateSettings.max_templates` are known."""

_STALE = -1


class StateMismatchError(DriftlineError):
    """A snapshot was made under other settings, so its templates would mean something else."""


class TemplateSettings(BaseModel):
    """How messages become templates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    masks: tuple[Mask, ...] = Field(
        default=DEFAULT_MASKS,
        description="Replacements made in this order before mining. A mask that depends on single digits or on their "
        "number ([0-9]{4}, 0x[0-9a-f]+) is allowed, but then each line is masked separately, which is about 20 times "
        "slower.",
    )
    similarity: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Share of equal tokens that joins a line to a template; formats that need a greater one have it.",
    )
    depth: int = Field(
        default=4, ge=3, description="Depth of Drain's tree; depth - 3 leading tokens choose the branch."
    )
    max_children: int = Field(
        default=100, ge=2, description="Branches of a node of Drain's tree before it uses a wildcard."
    )
    max_templates: int = Field(
        default=50_000,
        ge=1,
        description="Templates a partition may hold; later lines that match none get the template <*>.",
    )


_DIGIT = re.compile("[0-9]")
_WILDCARD_TOKEN = re.compile(r"(?<!\S)<\*>(?!\S)")
LITERAL_TEXT = r"<\*>"
"""How a template writes a token `<*>` of its messages. Drain takes `<*>` for a wildcard, which equals nothing, so that
equal messages with some of them would each make a template."""


class PartitionTemplates:
    """The templates of one partition, and the remembered answers.

    A *text number* identifies a masked message: `text_number` returns it, and `assign` maps a
    column of them to templates in line order.

    Attributes:
        why_slow, takes_ids: See `Masker`.
        generation: Grows whenever text numbers start again.
    """

    def __init__(
        self, settings: TemplateSettings, snapshot: Mapping[str, Any] | None = None, *, http: bool = False
    ) -> None:
        self._settings = settings
        self._masker = Masker(settings.masks, http=http)
        self.why_slow, self.takes_ids = self._masker.why_slow, self._masker.takes_ids
        self._drain = GuardedDrain(depth=settings.depth, sim_th=settings.similarity, max_children=settings.max_children)
        self._births: list[tuple[str, ...]] = []
        self._cluster_template: list[int] = [template_id(OVERFLOW_TEXT)]  # cluster ids count from 1
        self._known: dict[int, str] = {}
        self._unannounced: dict[int, str] = {}
        self.version = 0
        self.generation = 0
        self.forget()
        if snapshot is not None:
            self._restore(snapshot)

    def __len__(self) -> int:
        return len(self._births)

    def forget(self) -> None:
        """Drops the remembered answers and all text numbers; answers to come stay the same."""
        self.generation += 1
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._tokens = np.zeros(1024, np.int32)
        self._cluster = np.zeros(1024, np.int32)
        self._template = np.zeros(1024, np.int64)

    @property
    def texts(self) -> int:
        """How many masked texts are remembered."""
        return len(self._texts)

    def text_number(self, message: str) -> tuple[int, bool]:
        """The number of the masked message, and whether it is independent of all digits except those of a status."""
        text = self._masker.mask(message)
        if OVERFLOW_TEXT in text:
            text = _WILDCARD_TOKEN.sub(lambda _: LITERAL_TEXT, text)
        number = self._numbers.get(text)
        if number is None:
            number = self._add(text)
        return number, self.why_slow is None and _DIGIT.search(text) is None

    def mask(self, message: str) -> str:
        """The masked message."""
        return self._masker.mask(message)

    def values(self, message: str) -> list[tuple[str, str]]:
        """What the masks take out of a message, see `Masker.values`."""
        return self._masker.values(message)

    def _add(self, text: str) -> int:
        number = len(self._texts)
        self._numbers[text] = number
        self._texts.append(text)
        if number == len(self._tokens):
            self._tokens = np.concatenate((self._tokens, np.zeros_like(self._tokens)))
            self._cluster = np.concatenate((self._cluster, np.zeros_like(self._cluster)))
            self._template = np.concatenate((self._template, np.zeros_like(self._template)))
        self._tokens[number] = len(text.split())
        self._cluster[number] = _STALE
        return number

    def assign(self, texts: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Template id and Drain's cluster id for each line, given by text number in line order.

        A cluster id of 0 means `OVERFLOW_TEXT`.
        """
        if not (self._cluster[texts] == _STALE).any():
            return self._template[texts], self._cluster[texts]
        template = np.empty(len(texts), np.int64)
        cluster = np.empty(len(texts), np.int32)
        done = 0
        pending = self._stale_rows(texts, 0)
        at = 0
        while at < len(pending):
            row = pending[at]
            at += 1
            number = int(texts[row])
            if self._cluster[number] != _STALE:
                continue
            # Lines before this one keep the answers from before what Drain is about to change.
            template[done:row], cluster[done:row] = self._template[texts[done:row]], self._cluster[texts[done:row]]
            changed, found = self._ask(number)
            template[row], cluster[row] = self._cluster_template[found], found
            done = row + 1
            if changed:
                pending, at = self._stale_rows(texts, done), 0
        template[done:], cluster[done:] = self._template[texts[done:]], self._cluster[texts[done:]]
        return template, cluster

    def _stale_rows(self, texts: NDArray[np.int32], start: int) -> list[int]:
        return (np.flatnonzero(self._cluster[texts[start:]] == _STALE) + start).tolist()

    def _ask(self, number: int) -> tuple[bool, int]:
        """Add one line to Drain; return whether the result made others stale, and the cluster."""
        text = self._texts[number]
        if len(self._births) >= self._settings.max_templates and not self._matches(text):
            self._announce(OVERFLOW_TEXT)
            self._remember(number, 0)
            return False, 0
        found, change = self._drain.add_log_message(text)
        if change == "none":
            self._remember(number, found.cluster_id)
            return False, found.cluster_id
        self.version += 1
        if change == "cluster_created":
            self._births.append(found.log_template_tokens)
            self._cluster_template.append(0)
        self._cluster_template[found.cluster_id] = self._announce(found.get_template())
        filled = len(self._texts)
        self._cluster[:filled][self._tokens[:filled] == self._tokens[number]] = _STALE
        return True, found.cluster_id

    def _matches(self, text: str) -> bool:
        tokens = self._drain.get_content_as_tokens(text)
        return self._drain.tree_search(self._drain.root_node, tokens, self._drain.sim_th, False) is not None

    def _remember(self, number: int, cluster: int) -> None:
        self._cluster[number] = cluster
        self._template[number] = self._cluster_template[cluster]

    def _announce(self, text: str) -> int:
        identity = template_id(text)
        if identity not in self._known:
            self._known[identity] = text
            self._unannounced[identity] = text
            self.version += 1
        return identity

    def take_new(self) -> dict[int, str]:
        """Texts by template id that this object has not given out before."""
        if not self._unannounced:
            return {}
        new, self._unannounced = self._unannounced, {}
        return new

    def snapshot(self) -> dict[str, Any]:
        """Plain data from which the same tree is built: templates in order of creation."""
        clusters = self._drain.id_to_cluster
        return {
            "settings": self._settings.model_dump(mode="json"),
            "born": [" ".join(tokens) for tokens in self._births],
            "now": [clusters[i + 1].get_template() for i in range(len(self._births))],
            "texts": list(self._known.values()),
        }

    def _restore(self, snapshot: Mapping[str, Any]) -> None:
        if snapshot["settings"] != self._settings.model_dump(mode="json"):
            raise StateMismatchError(
                "the saved templates were mined under other template settings (masks, similarity, depth, max_children "
                "or max_templates); go back to those settings or start with an empty recovery directory"
            )
        for text in snapshot["texts"]:
            self._announce(text)
        # The tree's shape depends on the tokens that each template was born with, in that order.
        for number, (first, current) in enumerate(zip(snapshot["born"], snapshot["now"], strict=True), start=1):
            cluster = LogCluster(first.split(" ") if first else [], number)
            self._drain.id_to_cluster[number] = cluster
            self._drain.add_seq_to_prefix_tree(self._drain.root_node, cluster)
            self._births.append(cluster.log_template_tokens)
            cluster.log_template_tokens = tuple(current.split(" ")) if current else ()
            self._cluster_template.append(self._announce(current))
        self._drain.clusters_counter = len(self._births)
