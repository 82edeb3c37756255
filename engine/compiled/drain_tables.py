"""The tables of `engine.compiled.drain`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WILDCARD = 0
"""The token `<*>`."""

OVERFLOW = 0
"""The cluster, and the revision, of messages that match no template once there are as many as there may be."""

(
    TOKENS, TOKEN_BYTES, CLUSTERS, CLUSTER_TOKENS, REVISIONS, REVISION_BYTES, NODES, EDGES, LISTS, ENTRIES,
    TEXT_TOKENS, TAKEN, ASKED,
) = range(13)  # fmt: skip
"""Columns of `DrainTables.counts`: used rows of the tables; revisions that the caller has; messages asked about."""

TOKEN_HASH, FIRST, LENGTH, DIGIT, ANTONYM = range(5)
"""Columns of `DrainTables.tokens`: hash, place and size in `token_bytes`; whether it has a digit; the antonym that it
is (see `engine.parsing.antonyms`), 0 for none."""

CLUSTER_START, CLUSTER_SIZE, CURRENT, NUMBER, LEAF, SEEN, OF_FORMAT = range(7)
"""Columns of `DrainTables.clusters`: place and number of its tokens; its revision; its number among those of its
format; its leaf; the last question that met it; its format."""

EDGE_HASH, PARENT, BY_TOKEN, CHILD = range(4)
"""Columns of `DrainTables.edges`. The root's children are found under -1 - format, by the number of tokens."""

CHILDREN, CHANGES, ONLY = range(3)
"""Columns of `DrainTables.nodes`: children; changes of templates below it; the template of messages without tokens."""

LIST_HASH, LIST_LEAF, LIST_PLACE, LIST_TOKEN, HEAD, COUNT = range(6)
"""Columns of `DrainTables.lists`: templates of a leaf with a token at a place, as a linked list of `entries`."""

WORDS, WORD_BEHIND_EQUALS, DEPTH, MAX_CHILDREN, MAX_CLUSTERS, GUARDED, LITERAL = range(7)
"""Columns of `DrainTables.rules`: tokens from 1 to WORDS are antonyms, that of WORD_BEHIND_EQUALS only behind an equals
sign; Drain's settings; whether templates that differ in antonyms stay apart; the token of a message's own `<*>`."""

LONGEST_WORD = 24
"""Bytes of the longest word that may be an antonym."""


class DrainTables(NamedTuple):
    """The trees of all formats; the tables have room for more rows than `counts` states.

    Hash tables hold numbers of rows + 1 and are a power of two long. The last three are scratch: a word, the
    list of each token of a message, and how many of them have a length of so many bits.
    """

    counts: NDArray[np.int64]
    rules: NDArray[np.int64]
    similarity: NDArray[np.float64]
    format_clusters: NDArray[np.int64]
    unicode_digits: NDArray[np.int64]
    token_table: NDArray[np.int32]
    tokens: NDArray[np.int64]
    token_bytes: NDArray[np.uint8]
    clusters: NDArray[np.int64]
    cluster_tokens: NDArray[np.int32]
    revisions: NDArray[np.int64]
    revision_bytes: NDArray[np.uint8]
    edge_table: NDArray[np.int32]
    edges: NDArray[np.int64]
    nodes: NDArray[np.int64]
    list_table: NDArray[np.int32]
    lists: NDArray[np.int64]
    entries: NDArray[np.int64]
    text_tokens: NDArray[np.int32]
    word: NDArray[np.uint8]
    found: NDArray[np.int64]
    by_length: NDArray[np.int64]
