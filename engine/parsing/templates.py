"""The templates of one partition: Drain over all formats, and the texts and numbers of what it finds."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from engine.compiled import drain as compiled
from engine.compiled import drain_tables as tables
from engine.compiled.drain_tables import DrainTables
from engine.compiled.memory import LineMemory, hashed, resized
from engine.compiled.tables import SIZE, TEXT_FORMAT
from engine.compiled.words import PAD, padded
from engine.parsing.antonyms import ANTONYMS
from engine.parsing.template_settings import TemplateSettings
from foundation.errors import DriftlineError
from models.base import template_id

OVERFLOW_TEXT = "<*>"
"""Template of lines that match none once `TemplateSettings.max_templates` are known."""

LITERAL_TEXT = r"<\*>"
"""How a template writes a `<*>` of its messages, unlike a wildcard."""


class StateMismatchError(DriftlineError):
    """A snapshot was made under other settings, so its templates would mean something else."""


class PartitionTemplates:
    """The templates of one partition, separately for each format.

    Args:
        rules: How messages become templates, by number of the format; depth, children and number are the same for all.
        memory: The masked messages, which `assign` is asked about by their number.
        guarded: Whether templates that differ in antonyms stay apart; without, this is plain Drain.
    """

    def __init__(self, rules: Sequence[TemplateSettings], memory: LineMemory, *, guarded: bool = True) -> None:
        self._settings = tuple(rules)
        self._memory = memory
        self._drain = _new_drain(rules, guarded=guarded)
        self._compacted = np.zeros(2, np.int64)  # tokens and their bytes, after they were last copied
        self._template = np.full(256, template_id(OVERFLOW_TEXT), np.int64)  # by revision
        self._born: list[list[str]] = [[] for _ in rules]
        self._now: list[list[str]] = [[] for _ in rules]
        self._known: list[dict[int, str]] = [{} for _ in rules]
        self._announced: dict[int, str] = {}
        self._new: dict[int, str] = {}
        self._saved: dict[int, tuple[int, orjson.Fragment]] = {}
        self.versions = [0] * len(rules)

    def forget(self) -> None:
        """Drops what is remembered of single messages, whose numbers end here; answers to come stay the same.

        Their tokens are dropped once there are twice as many tokens as were kept the last time: a copy costs as much as
        there are templates, so a copy each time would make lines dearer the more templates there are.
        """
        counts = self._drain.counts
        counts[tables.TEXT_TOKENS] = 0
        size = counts[[tables.TOKENS, tables.TOKEN_BYTES]]
        if (size > 2 * self._compacted).any():
            self._drain = _compacted(self._drain)
            self._compacted = self._drain.counts[[tables.TOKENS, tables.TOKEN_BYTES]]

    def assign(self, texts: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Template id, and Drain's number of the cluster in its format, of each masked message in line order.

        A cluster number of 0 means `OVERFLOW_TEXT`.
        """
        clusters, revisions = np.zeros(len(texts), np.int32), np.zeros(len(texts), np.int32)
        known, done = self._memory.known, 0
        while True:
            done = compiled.assign(self._drain, known, texts, done, clusters, revisions)
            self._take_revisions()
            if done == len(texts):
                break
            self._drain = _with_room(self._drain, int(known.texts[texts[done], SIZE]))
        if len(clusters) and not clusters.min():
            for number in np.unique(known.texts[texts[clusters == 0], TEXT_FORMAT]).tolist():
                self._announce(number, OVERFLOW_TEXT)
        return self._template[revisions], clusters

    def _take_revisions(self) -> None:
        """Finds texts for the templates that were made or generalised."""
        drain = self._drain
        first, last = int(drain.counts[tables.TAKEN]), int(drain.counts[tables.REVISIONS])
        if last == first:
            return
        if last > len(self._template):
            self._template = np.resize(self._template, 2 * last)
        clusters, starts = drain.revisions[: last - first].T
        raw = drain.revision_bytes[: drain.counts[tables.REVISION_BYTES]].tobytes()
        ends = [*starts[1:].tolist(), len(raw)]
        about = drain.clusters[clusters][:, [tables.OF_FORMAT, tables.NUMBER]].tolist()
        for i, (start, end, (number, place)) in enumerate(zip(starts.tolist(), ends, about, strict=True)):
            text, place = raw[start:end].decode("utf-8", "surrogatepass"), place - 1
            if place == len(self._now[number]):
                self._born[number].append(text)
                self._now[number].append(text)
            else:
                self._now[number][place] = text
            self.versions[number] += 1
            self._template[first + i] = self._announce(number, text)
        drain.counts[tables.TAKEN], drain.counts[tables.REVISION_BYTES] = last, 0

    def _announce(self, format: int, text: str) -> int:
        identity = template_id(text)
        if identity not in self._known[format]:
            self._known[format][identity] = text
            self.versions[format] += 1
        if identity not in self._announced:
            self._announced[identity] = self._new[identity] = text
        return identity

    def take_new(self) -> dict[int, str]:
        """Texts by template id that this object has not given out before."""
        if not self._new:
            return {}
        new, self._new = self._new, {}
        return new

    def snapshot(self, format: int) -> orjson.Fragment | None:
        """JSON from which the templates of a format are made again, in order of creation; None where it has none."""
        if not self._born[format] and not self._known[format]:
            return None
        saved = self._saved.get(format)
        if saved is None or saved[0] != self.versions[format]:
            saved = self.versions[format], orjson.Fragment(orjson.dumps(self.state(format)))
            self._saved[format] = saved
        return saved[1]

    def state(self, format: int) -> dict[str, Any]:
        """The same as plain data, also where the format has no templates."""
        return {
            "settings": self._settings[format].model_dump(mode="json"),
            "born": self._born[format],
            "now": self._now[format],
            "texts": list(self._known[format].values()),
        }

    def restore(self, format: int, snapshot: Mapping[str, Any]) -> None:
        """Makes the templates of a format again; called before any line was read.

        Raises:
            StateMismatchError: they were mined under other settings.
        """
        if snapshot["settings"] != self._settings[format].model_dump(mode="json"):
            raise StateMismatchError(
                "the saved templates were mined under other template settings (masks, similarity, depth, max_children "
                "or max_templates); go back to those settings or start with an empty recovery directory"
            )
        for text in snapshot["texts"]:
            self._announce(format, text)
        born, now = ([text.encode("utf-8", "surrogatepass") for text in snapshot[name]] for name in ("born", "now"))
        columns = [column for texts in (born, now) for column in (_joined(texts), _ends(texts))]
        done = 0
        while (done := compiled.restore(self._drain, format, done, *columns)) < len(born):
            self._take_revisions()
            self._drain = _with_room(self._drain, len(born[done]) + len(now[done]) + 8)
        self._take_revisions()
        self._born[format] = list(snapshot["born"])


def _joined(texts: list[bytes]) -> NDArray[np.uint8]:
    return padded(b"".join(texts))[PAD:]


def _ends(texts: list[bytes]) -> NDArray[np.int64]:
    return np.cumsum([len(text) for text in texts], dtype=np.int64)


@cache
def _unicode_digits() -> NDArray[np.int64]:
    """Code points beyond ASCII that are digits to `str.isdigit`."""
    return np.array([code for code in range(128, 0x110000) if chr(code).isdigit()], np.int64)


_COUNTED = {
    "tokens": tables.TOKENS,
    "token_bytes": tables.TOKEN_BYTES,
    "clusters": tables.CLUSTERS,
    "cluster_tokens": tables.CLUSTER_TOKENS,
    "nodes": tables.NODES,
    "edges": tables.EDGES,
    "lists": tables.LISTS,
    "entries": tables.ENTRIES,
    "text_tokens": tables.TEXT_TOKENS,
}
"""Table → what counts its rows."""


def _with_room(drain: DrainTables, bytes: int) -> DrainTables:
    """The tables with room for one more message of that many bytes, whatever comes of it.

    Those that are half full grow with the one that is full, so that the compiled loop returns seldom.
    """
    more = bytes + 2 * int(drain.rules[tables.DEPTH]) + 32
    rows = {name: 2 * int(drain.counts[count]) + more for name, count in _COUNTED.items()}
    waiting = int(drain.counts[tables.REVISIONS] - drain.counts[tables.TAKEN])
    unread = int(drain.counts[tables.REVISION_BYTES]) + 3 * more
    longer = resized(drain, rows | {"revisions": 2 * waiting + 2, "revision_bytes": unread, "found": more})
    hashes: dict[str, Any] = {}
    for kind in ("token", "edge", "list"):
        table = getattr(longer, f"{kind}s")
        if len(table) != len(getattr(drain, f"{kind}s")):
            hashes[f"{kind}_table"] = hashed(table, int(drain.counts[_COUNTED[f"{kind}s"]]))
    return longer._replace(**hashes)


def _new_drain(rules: Sequence[TemplateSettings], *, guarded: bool) -> DrainTables:
    """Trees without templates; the wildcard and the antonyms are the first tokens."""
    shared = rules[0]
    words = [OVERFLOW_TEXT, *sorted(word.removeprefix("=") for word in ANTONYMS)]
    literal = len(words)
    behind = next(i for i, word in enumerate(words) if f"={word}" in ANTONYMS)
    tokens = [word.encode() for word in (*words, LITERAL_TEXT)]
    rows, few = 1024, 64
    drain = DrainTables(
        counts=np.zeros(13, np.int64),
        rules=np.array([0, 0, shared.depth, shared.max_children, shared.max_templates, guarded, literal], np.int64),
        similarity=np.array([each.similarity for each in rules], np.float64),
        format_clusters=np.zeros(len(rules), np.int64),
        unicode_digits=_unicode_digits(),
        token_table=np.zeros(4 * rows, np.int32),
        tokens=np.zeros((rows, 5), np.int64),
        token_bytes=np.zeros(8 * rows, np.uint8),
        clusters=np.zeros((few, 7), np.int64),
        cluster_tokens=np.zeros(rows, np.int32),
        revisions=np.zeros((few, 2), np.int64),
        revision_bytes=np.zeros(16 * rows, np.uint8),
        edge_table=np.zeros(4 * rows, np.int32),
        edges=np.zeros((rows, 4), np.int64),
        nodes=np.zeros((rows, 3), np.int64),
        list_table=np.zeros(4 * rows, np.int32),
        lists=np.zeros((rows, 6), np.int64),
        entries=np.zeros((rows, 2), np.int64),
        text_tokens=np.zeros(rows, np.int32),
        word=np.zeros(tables.LONGEST_WORD + 8, np.uint8),
        found=np.zeros(rows, np.int64),
        by_length=np.zeros(64, np.int64),
    )
    drain.counts[[tables.CLUSTERS, tables.REVISIONS, tables.TAKEN]] = 1  # 0 is `OVERFLOW`
    drain = _with_room(drain, sum(map(len, tokens)))
    compiled.intern_all(drain, _joined(tokens), _ends(tokens))
    drain.rules[[tables.WORDS, tables.WORD_BEHIND_EQUALS]] = len(words) - 1, behind
    drain.tokens[: len(words), tables.ANTONYM] = np.arange(len(words))
    drain.tokens[behind, tables.ANTONYM] = 0
    return drain


def _compacted(drain: DrainTables) -> DrainTables:
    """The tables without the tokens that only messages had, all of which are forgotten."""
    counts = drain.counts
    edges = drain.edges[: counts[tables.EDGES]]
    trees = edges[:, tables.PARENT] >= 0  # the root's children are found by a number of tokens
    templates = drain.cluster_tokens[: counts[tables.CLUSTER_TOKENS]]
    words = np.arange(drain.rules[tables.LITERAL] + 1)
    kept = np.unique(np.concatenate((words, templates, edges[trees, tables.BY_TOKEN])))
    new = np.zeros(int(counts[tables.TOKENS]), np.int64)
    new[kept] = np.arange(len(kept))
    templates[:] = new[templates]
    edges[trees, tables.BY_TOKEN] = new[edges[trees, tables.BY_TOKEN]]
    tokens = drain.tokens[kept]
    places, raw = tokens[:, [tables.FIRST, tables.LENGTH]].tolist(), drain.token_bytes.data
    token_bytes = bytearray().join(raw[first : first + size] for first, size in places)
    sizes = tokens[:, tables.LENGTH]
    tokens[:, tables.FIRST] = np.cumsum(sizes) - sizes
    counts[tables.TOKENS], counts[tables.TOKEN_BYTES] = len(kept), len(token_bytes)
    counts[[tables.LISTS, tables.ENTRIES, tables.TEXT_TOKENS]] = 0
    drain = drain._replace(
        tokens=tokens,
        token_table=hashed(tokens, len(kept)),
        token_bytes=np.frombuffer(token_bytes, np.uint8),
        text_tokens=drain.text_tokens[:256].copy(),
        edge_table=np.zeros_like(drain.edge_table),
        list_table=np.zeros_like(drain.list_table),
    )
    compiled.rebuild(drain)
    return drain
