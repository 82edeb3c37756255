"""Templates and clusters are those of Drain3 0.9.11, at a cost that does not grow with their number."""

import random
import time

import numpy as np
import pytest
from drain3.drain import Drain
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.peers.guarded_drain import GuardedDrain
from engine.compiled.memory import LineMemory
from engine.compiled.read import number_messages
from engine.compiled.words import PAD, padded
from engine.formats.registry import FORMATS
from engine.parsing.format_tables import FormatTables
from engine.parsing.template_settings import TemplateSettings
from engine.parsing.templates import LITERAL_TEXT, OVERFLOW_TEXT, PartitionTemplates
from models.base import template_id

WORDS = ("a b c d e f up down Started Stopped, state=closed user=root root x1 2 <*> <NUM> k=<IP> é ² ٣ start get put "
         "/up eth0 (on) off: =on a=b=off").split()  # fmt: skip
SPACES = (" ", "  ", "\t", "\x1c", "\u00a0", "\u2003")
MESSAGES = st.lists(
    st.builds(
        lambda words, gap: gap.join(words), st.lists(st.sampled_from(WORDS), max_size=7), st.sampled_from(SPACES)
    ),
    max_size=60,
)
TABLES = FormatTables([FORMATS["raw"]], [()], [()], [[0]]).tables


class Miner:
    """Templates over messages that are masked already."""

    def __init__(self, rules: TemplateSettings, *, guarded: bool) -> None:
        self.memory = LineMemory(64)
        self.templates = PartitionTemplates([rules], self.memory, guarded=guarded)

    def mine(self, messages: list[str]) -> tuple[list[int], list[str]]:
        raw = [message.encode() for message in messages]
        ends, done = np.cumsum([len(text) for text in raw], dtype=np.int64), 0
        numbers, masked = np.zeros(len(raw), np.int32), np.ones(len(raw), np.bool_)
        while done < len(raw):
            self.memory.make_room(64 + max(map(len, raw)))
            done = number_messages(
                TABLES, self.memory.known, self.memory.room, padded(b"".join(raw))[PAD:], ends,
                np.zeros(len(raw), np.int64), masked, done, numbers,
            )  # fmt: skip
        template, cluster = self.templates.assign(numbers)
        texts = self.templates.state(0)["texts"]
        known = {template_id(text): text for text in texts}
        return cluster.tolist(), [known[identity] for identity in template.tolist()]


def by_drain3(messages: list[str], rules: TemplateSettings, *, guarded: bool) -> tuple[list[int], list[str]]:
    kind = GuardedDrain if guarded else Drain
    drain = kind(depth=rules.depth, sim_th=rules.similarity, max_children=rules.max_children)
    clusters, texts = [], []
    for message in messages:
        message = message.replace("<*>", LITERAL_TEXT)
        if len(drain.clusters) >= rules.max_templates:
            tokens = drain.get_content_as_tokens(message)
            if drain.tree_search(drain.root_node, tokens, drain.sim_th, False) is None:
                clusters.append(0)
                texts.append(OVERFLOW_TEXT)
                continue
        cluster, _ = drain.add_log_message(message)
        clusters.append(cluster.cluster_id)
        texts.append(cluster.get_template())
    return clusters, texts


RULES = st.builds(
    TemplateSettings,
    similarity=st.sampled_from([0.1, 0.4, 0.5, 0.7, 1.0]),
    depth=st.integers(3, 6),
    max_children=st.sampled_from([2, 3, 5, 100]),
    max_templates=st.sampled_from([1, 3, 50_000]),
)


@settings(max_examples=300, deadline=None)
@given(MESSAGES, RULES, st.booleans(), st.integers(0, 60))
@example(["a b", "a c", "up b", "down b", ""], TemplateSettings(), True, 2)
def test_clusters_and_templates_are_those_of_drain3(messages, rules, guarded, cut) -> None:
    miner = Miner(rules, guarded=guarded)
    found = [miner.mine(part) for part in (messages[:cut], messages[cut:])]
    clusters, texts = by_drain3(messages, rules, guarded=guarded)
    assert [c for part, _ in found for c in part] == clusters
    assert [t for _, part in found for t in part] == texts


@settings(max_examples=100, deadline=None)
@given(MESSAGES, RULES, st.integers(0, 60), st.integers(0, 60))
def test_neither_forgetting_nor_a_restart_changes_an_answer(messages, rules, cut, later) -> None:
    want, texts = by_drain3(messages, rules, guarded=True)
    first = Miner(rules, guarded=True)
    a = first.mine(messages[:cut])
    again = Miner(rules, guarded=True)
    again.templates.restore(0, first.templates.state(0))
    for miner in (first, again):
        clusters, found = a
        for part in (messages[cut : cut + later], messages[cut + later :]):  # tokens are not copied both times
            if miner is first:
                miner.memory.forget()
                miner.templates.forget()
            b = miner.mine(part)
            clusters, found = clusters + b[0], found + b[1]
        assert (clusters, found) == (want, texts)


@pytest.mark.parametrize("message", ["<*> <*> <*> done", "<*>", "<NUM> <NUM>", "<IP> <*> <*> <*>", r"<\*> <*>"])
def test_marks_of_the_miner_in_a_log_do_not_make_a_template_a_line(message: str) -> None:
    clusters, texts = Miner(TemplateSettings(), guarded=True).mine([message] * 50)
    assert clusters == [1] * 50
    assert texts == [message.replace("<*>", LITERAL_TEXT)] * 50


def test_long_messages_are_mined_like_short_ones() -> None:
    rng = random.Random(1)
    words = [rng.choices("abcdefgh", k=rng.choice((60, 200))) for _ in range(150)]
    messages = [" ".join(row) for row in words] * 2
    rules = TemplateSettings(similarity=0.2)
    assert Miner(rules, guarded=False).mine(messages) == by_drain3(messages, rules, guarded=False)


@pytest.mark.parametrize("make", [lambda i: f"w{chr(97 + i % 26)}{i}", lambda i: f"x {i} y{i} z"], ids=["one", "four"])
def test_the_cost_of_a_line_does_not_grow_with_the_templates(make) -> None:
    miner = Miner(TemplateSettings(max_templates=200_000), guarded=True)
    seconds = []
    for first in range(0, 40_000, 4000):
        messages = [make(i) for i in range(first, first + 4000)]
        started = time.process_time()
        miner.mine(messages)
        seconds.append(time.process_time() - started)
    assert sum(seconds[-3:]) < 4 * sum(seconds[1:4])
