"""Drain: mines templates from masked messages, with the answers of Drain3 0.9.11 and at a bounded cost for each line.

Drain (He et al., ICWS 2017) descends a tree by the number of tokens and the first tokens, compares a
message with every template of the leaf and generalises the most similar one. Here a leaf is not
searched through: a template that is similar enough has at least `m` of the message's `n` tokens at
their places, so it is in one of any `n - m + 1` lists of the templates with such a token at such
a place, and the shortest lists are enough (Chaudhuri et al., "A Primitive Operator for Similarity
Joins", ICDE 2006).

An answer that changed nothing is remembered, until a template of as many tokens is added or
generalised, which is all that can alter it: Drain never compares messages of different lengths.
"""

import numpy as np

from engine.compiled.drain_tables import (
    ANTONYM,
    ASKED,
    BY_TOKEN,
    CHANGES,
    CLUSTER_SIZE,
    CLUSTER_START,
    CLUSTER_TOKENS,
    CLUSTERS,
    COUNT,
    CURRENT,
    DEPTH,
    EDGE_HASH,
    EDGES,
    ENTRIES,
    FIRST,
    GUARDED,
    HEAD,
    LEAF,
    LENGTH,
    LISTS,
    MAX_CLUSTERS,
    NODES,
    NUMBER,
    OF_FORMAT,
    ONLY,
    OVERFLOW,
    PARENT,
    REVISION_BYTES,
    REVISIONS,
    SEEN,
    TAKEN,
    TEXT_TOKENS,
    TOKEN_BYTES,
    TOKENS,
    WILDCARD,
    DrainTables,
)
from engine.compiled.drain_tree import add_to_tree, child_of, enter, find_leaf, find_list, list_cluster, mix
from engine.compiled.jit import entry, loop
from engine.compiled.machine_types import ZERO, Bytes, Flag, Int, Int32s, Int64s
from engine.compiled.tables import (
    CLUSTER,
    EPOCH,
    NODE,
    REVISION,
    SIZE,
    START,
    TEXT_FORMAT,
    TOKEN_COUNT,
    TOKEN_START,
    KnownLines,  # fmt: skip
)
from engine.compiled.tokens import intern, split


@loop
def _similar(
    tokens: Int64s, template: Int32s, first: Int, message: Int32s, start: Int,
    size: Int, guarded: Flag,
) -> tuple[Int, Int]:  # fmt: skip
    """Equal tokens and wildcards of a template; -1 twice where an antonym keeps them apart."""
    equal = wild = 0
    for i in range(size):
        mine, its = template[first + i], message[start + i]
        wild += mine == WILDCARD
        if mine == its:
            equal += mine != WILDCARD
        elif guarded and tokens[mine, ANTONYM] != tokens[its, ANTONYM]:
            return -1, -1
    return equal, wild


@loop
def _find_lists(drain: DrainTables, leaf: Int, start: Int, size: Int) -> Int:
    """Fills `found` with the list of each token, and `by_length`; returns how many tokens have a list."""
    found, by_length, lists = drain.found, drain.by_length, drain.lists
    for i in range(len(by_length)):
        by_length[i] = 0
    filled = 0
    for i in range(size):
        found[i] = find_list(drain.list_table, lists, leaf, i, np.int64(drain.text_tokens[start + i]))
        if found[i] >= 0:
            filled += 1
            by_length[_length_class(lists[found[i], COUNT])] += 1
    return filled


@loop
def _length_class(count: Int) -> Int:
    """The number of bits of a length."""
    bits = 0
    while count:
        bits += 1
        count >>= 1
    return bits


@loop
def _best(drain: DrainTables, format: Int, leaf: Int, start: Int, size: Int, question: Int) -> Int:
    """The cluster of a leaf that Drain3's `fast_match` chooses, or -1."""
    lists, entries, clusters, found = drain.lists, drain.entries, drain.clusters, drain.found
    needed = 1
    while np.float64(needed) / size < drain.similarity[format]:
        needed += 1
    filled = _find_lists(drain, leaf, start, size)
    if filled < needed:
        return -1
    # All but `needed - 1` of the lists are enough; the longest classes of lengths are left out.
    left, longest = filled - needed + 1, 0
    while left > 0:
        left -= drain.by_length[longest]
        longest += 1
    best = best_equal = best_wild = -1
    guarded = drain.rules[GUARDED] != 0
    for i in range(size):
        if found[i] < 0 or _length_class(lists[found[i], COUNT]) >= longest:
            continue
        entry = lists[found[i], HEAD]
        while entry >= 0:
            cluster = entries[entry, 0]
            entry = entries[entry, 1]
            if clusters[cluster, SEEN] == question:
                continue
            clusters[cluster, SEEN] = question
            first = clusters[cluster, CLUSTER_START]
            equal, wild = _similar(drain.tokens, drain.cluster_tokens, first, drain.text_tokens, start, size, guarded)
            if equal < needed or equal < best_equal:
                continue
            if equal > best_equal or wild > best_wild or (wild == best_wild and cluster < best):
                best, best_equal, best_wild = cluster, equal, wild
    return best


@loop
def _revise(drain: DrainTables, cluster: Int) -> None:
    """Notes the template of a cluster as it is now."""
    counts, clusters = drain.counts, drain.clusters
    row, place = counts[REVISIONS] - counts[TAKEN], counts[REVISION_BYTES]
    start, size = clusters[cluster, CLUSTER_START], clusters[cluster, CLUSTER_SIZE]
    clusters[cluster, CURRENT] = counts[REVISIONS]
    drain.revisions[row, 0], drain.revisions[row, 1] = cluster, place
    for i in range(start, start + size):
        if i > start:
            drain.revision_bytes[place] = 32
            place += 1
        token = drain.cluster_tokens[i]
        first, length = drain.tokens[token, FIRST], drain.tokens[token, LENGTH]
        for j in range(length):
            drain.revision_bytes[place + j] = drain.token_bytes[first + j]
        place += length
    counts[REVISIONS] += 1
    counts[REVISION_BYTES] = place


@loop
def _add_cluster(drain: DrainTables, format: Int, start: Int, size: Int) -> Int:
    """A new cluster with the tokens `text_tokens[start:start + size]`, in the tree but not in the lists yet."""
    counts, clusters = drain.counts, drain.clusters
    cluster, place = counts[CLUSTERS], counts[CLUSTER_TOKENS]
    for i in range(size):
        drain.cluster_tokens[place + i] = drain.text_tokens[start + i]
    drain.format_clusters[format] += 1
    clusters[cluster, CLUSTER_START], clusters[cluster, CLUSTER_SIZE] = place, size
    clusters[cluster, NUMBER], clusters[cluster, SEEN] = drain.format_clusters[format], -1
    clusters[cluster, OF_FORMAT] = format
    counts[CLUSTERS] += 1
    counts[CLUSTER_TOKENS] += size
    clusters[cluster, LEAF] = add_to_tree(drain, format, cluster, start, size)
    return cluster


@loop
def _generalise(template: Int32s, first: Int, message: Int32s, start: Int, size: Int) -> Flag:
    """Replaces tokens with wildcards where a template differs from a message; returns whether that changed it."""
    changed = False
    for i in range(size):
        if template[first + i] != message[start + i] and template[first + i] != WILDCARD:
            template[first + i] = WILDCARD
            changed = True
    return changed


@loop
def _has_room(drain: DrainTables, bytes: Int) -> Flag:
    """Whether one more message fits, whatever comes of it."""
    counts, size, depth = drain.counts, bytes // 2 + 2, drain.rules[DEPTH]
    return (
        counts[TOKENS] + size < len(drain.tokens) and counts[TOKEN_BYTES] + bytes + 16 < len(drain.token_bytes)
        and counts[CLUSTERS] + 1 < len(drain.clusters) and counts[CLUSTER_TOKENS] + size < len(drain.cluster_tokens)
        and counts[REVISIONS] - counts[TAKEN] + 1 < len(drain.revisions)
        and counts[REVISION_BYTES] + 3 * bytes + 8 < len(drain.revision_bytes)  # a token of one byte may become `<*>`
        and counts[EDGES] + depth < len(drain.edges) and counts[NODES] + depth < len(drain.nodes)
        and counts[LISTS] + size < len(drain.lists) and counts[ENTRIES] + size < len(drain.entries)
        and counts[TEXT_TOKENS] + size < len(drain.text_tokens) and size < len(drain.found)
    )  # fmt: skip


@loop
def _ask(
    drain: DrainTables,
    texts: Int64s,
    bytes: Bytes,
    number: Int,
    question: Int,
) -> tuple[Int, Int]:
    """Cluster and revision for a masked message; templates may change."""
    format, edges, table = texts[number, TEXT_FORMAT], drain.edges, drain.edge_table
    if texts[number, TOKEN_START] < 0:
        at = texts[number, START]
        start, size = split(drain, bytes, at, at + texts[number, SIZE], True)
        texts[number, TOKEN_START], texts[number, TOKEN_COUNT] = start, size
    start, size = texts[number, TOKEN_START], texts[number, TOKEN_COUNT]
    node = child_of(table, edges, -1 - format, size)
    cluster = -1
    if node >= 0:
        if size == 0:
            cluster = drain.nodes[node, ONLY]
        else:
            leaf = find_leaf(table, edges, drain.rules[DEPTH], node, drain.text_tokens, start, size)
            if leaf >= 0:
                cluster = _best(drain, format, leaf, start, size, question)
    if cluster < 0:
        if drain.format_clusters[format] >= drain.rules[MAX_CLUSTERS]:
            texts[number, NODE], texts[number, EPOCH] = node, drain.nodes[node, CHANGES] if node >= 0 else -1
            texts[number, CLUSTER] = texts[number, REVISION] = OVERFLOW
            return OVERFLOW, OVERFLOW
        cluster = _add_cluster(drain, format, start, size)
        list_cluster(drain, cluster)
        node = child_of(table, edges, -1 - format, size)
    else:
        first = drain.clusters[cluster, CLUSTER_START]
        if not _generalise(drain.cluster_tokens, first, drain.text_tokens, start, size):
            texts[number, NODE], texts[number, EPOCH] = node, drain.nodes[node, CHANGES]
            texts[number, CLUSTER] = drain.clusters[cluster, NUMBER]
            texts[number, REVISION] = drain.clusters[cluster, CURRENT]
            return drain.clusters[cluster, NUMBER], drain.clusters[cluster, CURRENT]
    drain.nodes[node, CHANGES] += 1
    _revise(drain, cluster)
    return drain.clusters[cluster, NUMBER], drain.clusters[cluster, CURRENT]


@entry
def assign(
    drain: DrainTables, known: KnownLines, asked: Int32s, first: Int, clusters: Int32s,
    revisions: Int32s,
) -> Int:  # fmt: skip
    """Cluster and revision of each message, in order; returns the row before which room ran out, or their number.

    Takes:
        drain, known: See their classes.
        asked: int32: numbers of masked messages.
        first: The row to begin at.
        clusters, revisions: Filled here.
    """
    texts, nodes, counts = known.texts, drain.nodes, drain.counts
    for row in range(first, len(asked)):
        number = np.int64(asked[row])
        node = texts[number, NODE]
        if node >= 0 and texts[number, EPOCH] == nodes[node, CHANGES]:
            clusters[row], revisions[row] = texts[number, CLUSTER], texts[number, REVISION]
            continue
        if not _has_room(drain, texts[number, SIZE]):
            return row
        counts[ASKED] += 1
        clusters[row], revisions[row] = _ask(drain, texts, known.bytes, number, counts[ASKED])
    return len(asked)


@entry
def intern_all(drain: DrainTables, text: Bytes, ends: Int64s) -> None:
    """Makes tokens of the parts of a text, each of which ends at one of `ends`."""
    for i in range(len(ends)):
        intern(
            drain.counts, drain.rules, drain.unicode_digits, drain.token_table, drain.tokens, drain.token_bytes,
            drain.word, text, ends[i - 1] if i else 0, ends[i],
        )  # fmt: skip


@entry
def rebuild(drain: DrainTables) -> None:
    """Fills the empty hash tables of edges and lists, and the lists, from the other tables."""
    edges = drain.edges
    for edge in range(drain.counts[EDGES]):
        edges[edge, EDGE_HASH] = mix(edges[edge, PARENT], edges[edge, BY_TOKEN], ZERO)
        enter(drain.edge_table, edges[edge, EDGE_HASH], edge)
    for cluster in range(1, drain.counts[CLUSTERS]):
        list_cluster(drain, cluster)


@entry
def restore(
    drain: DrainTables, format: Int, first: Int, born: Bytes, born_ends: Int64s,
    now: Bytes, now_ends: Int64s,
) -> Int:  # fmt: skip
    """Makes the clusters of a format again; returns the one before which room ran out, or their number.

    Takes:
        drain: See its class; no message is known.
        format: The format.
        first: The cluster to begin at.
        born, born_ends: UTF-8 text of the templates that the clusters began with, in order, and where each ends.
        now, now_ends: Of the templates that they have.
    """
    for i in range(first, len(born_ends)):
        at = born_ends[i - 1] if i else 0
        other = now_ends[i - 1] if i else 0
        if not _has_room(drain, born_ends[i] - at + now_ends[i] - other + 8):
            return i
        start, size = split(drain, born, at, born_ends[i], False)
        cluster = _add_cluster(drain, format, start, size)
        start, size = split(drain, now, other, now_ends[i], False)
        place = drain.clusters[cluster, CLUSTER_START]
        for j in range(size):
            drain.cluster_tokens[place + j] = drain.text_tokens[start + j]
        drain.counts[TEXT_TOKENS] = 0
        list_cluster(drain, cluster)
        _revise(drain, cluster)
    return len(born_ends)
