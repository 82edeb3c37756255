"""The trees of `engine.compiled.drain`, and the lists through which the templates of a leaf are found."""

import numpy as np

from engine.compiled.drain_tables import (
    BY_TOKEN,
    CHANGES,
    CHILD,
    CHILDREN,
    CLUSTER_SIZE,
    CLUSTER_START,
    COUNT,
    DEPTH,
    DIGIT,
    EDGE_HASH,
    EDGES,
    ENTRIES,
    HEAD,
    LEAF,
    LIST_HASH,
    LIST_LEAF,
    LIST_PLACE,
    LIST_TOKEN,
    LISTS,
    MAX_CHILDREN,
    NODES,
    ONLY,
    PARENT,
    WILDCARD,
    DrainTables,
)
from engine.compiled.jit import entry, loop
from engine.compiled.machine_types import ZERO, Int, Int32s, Int64s

_NO_NODE = -1


@loop
def mix(first: Int, second: Int, third: Int) -> Int:
    """A hash of three numbers."""
    found = (np.uint64(first + 1) * np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(second)
    found = (found ^ (found >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ np.uint64(third)) * np.uint64(0x94D049BB133111EB)
    return np.int64(found ^ (found >> np.uint64(31)))


@loop
def enter(table: Int32s, hash: Int, number: Int) -> None:
    """Enters a row into a hash table."""
    mask = len(table) - 1
    at = hash & mask
    while table[at]:
        at = (at + 1) & mask
    table[at] = number + 1


@entry
def enter_all(table: Int32s, rows: Int64s, count: Int) -> None:
    """Enters the first rows, whose hash is in their first column, into an empty hash table."""
    for number in range(count):
        enter(table, rows[number, 0], number)


@loop
def child_of(table: Int32s, edges: Int64s, node: Int, token: Int) -> Int:
    """The child of a node for a token, or -1."""
    hash = mix(node, token, ZERO)
    mask = len(table) - 1
    at = hash & mask
    while True:
        edge = np.int64(table[at]) - 1
        if edge < 0:
            return _NO_NODE
        if edges[edge, PARENT] == node and edges[edge, BY_TOKEN] == token:
            return edges[edge, CHILD]
        at = (at + 1) & mask


@loop
def add_child(
    counts: Int64s, table: Int32s, edges: Int64s, nodes: Int64s,
    node: Int, token: Int,
) -> Int:  # fmt: skip
    """A new child."""
    edge, child, hash = counts[EDGES], counts[NODES], mix(node, token, ZERO)
    edges[edge, EDGE_HASH], edges[edge, PARENT], edges[edge, BY_TOKEN], edges[edge, CHILD] = hash, node, token, child
    enter(table, hash, edge)
    nodes[child, CHILDREN], nodes[child, CHANGES], nodes[child, ONLY] = 0, 0, -1
    if node >= 0:
        nodes[node, CHILDREN] += 1
    counts[EDGES] += 1
    counts[NODES] += 1
    return child


@loop
def find_list(table: Int32s, lists: Int64s, leaf: Int, place: Int, token: Int) -> Int:
    """The list of the templates of a leaf with a token at a place, or -1."""
    hash = mix(leaf, place, token)
    mask = len(table) - 1
    at = hash & mask
    while True:
        number = np.int64(table[at]) - 1
        if number < 0:
            return -1
        if (
            lists[number, LIST_LEAF] == leaf
            and lists[number, LIST_PLACE] == place
            and lists[number, LIST_TOKEN] == token
        ):
            return number
        at = (at + 1) & mask


@loop
def list_cluster(drain: DrainTables, cluster: Int) -> None:
    """Enters a cluster into the lists of its tokens."""
    counts, table, lists, entries, tokens = (
        drain.counts,
        drain.list_table,
        drain.lists,
        drain.entries,
        drain.cluster_tokens,
    )
    start, leaf = drain.clusters[cluster, CLUSTER_START], drain.clusters[cluster, LEAF]
    for place in range(drain.clusters[cluster, CLUSTER_SIZE]):
        token = np.int64(tokens[start + place])
        if token == WILDCARD:
            continue
        number = find_list(table, lists, leaf, place, token)
        if number < 0:
            number = counts[LISTS]
            counts[LISTS] += 1
            lists[number, LIST_HASH] = mix(leaf, place, token)
            lists[number, LIST_LEAF], lists[number, LIST_PLACE], lists[number, LIST_TOKEN] = leaf, place, token
            lists[number, HEAD], lists[number, COUNT] = -1, 0
            enter(table, lists[number, LIST_HASH], number)
        entry = counts[ENTRIES]
        counts[ENTRIES] += 1
        entries[entry, 0], entries[entry, 1] = cluster, lists[number, HEAD]
        lists[number, HEAD] = entry
        lists[number, COUNT] += 1


@loop
def add_to_tree(drain: DrainTables, format: Int, cluster: Int, start: Int, size: Int) -> Int:
    """Drain3's `add_seq_to_prefix_tree` for the tokens `text_tokens[start:start + size]`; returns the leaf."""
    counts, table, edges, nodes, rules = drain.counts, drain.edge_table, drain.edges, drain.nodes, drain.rules
    node = child_of(table, edges, -1 - format, size)
    if node < 0:
        node = add_child(counts, table, edges, nodes, -1 - format, size)
    if size == 0:
        nodes[node, ONLY] = cluster
        return node
    for i in range(min(size - 1, rules[DEPTH] - 3)):
        token: Int = np.int64(drain.text_tokens[start + i])
        child = child_of(table, edges, node, token)
        if child < 0:
            wild = child_of(table, edges, node, ZERO + WILDCARD)
            children = nodes[node, CHILDREN]
            if drain.tokens[token, DIGIT]:
                token = WILDCARD
            elif wild >= 0:
                token = token if children < rules[MAX_CHILDREN] else WILDCARD
            elif children + 1 >= rules[MAX_CHILDREN]:
                token = WILDCARD
            child = wild if token == WILDCARD and wild >= 0 else add_child(counts, table, edges, nodes, node, token)
        node = child
    return node


@loop
def find_leaf(
    table: Int32s, edges: Int64s, depth: Int, node: Int, tokens: Int32s,
    start: Int, size: Int,
) -> Int:  # fmt: skip
    """The leaf for tokens below the node of their number, as Drain3's `tree_search` finds it, or -1."""
    for i in range(min(size - 1, depth - 3)):
        child = child_of(table, edges, node, np.int64(tokens[start + i]))
        if child < 0:
            child = child_of(table, edges, node, ZERO + WILDCARD)
            if child < 0:
                return _NO_NODE
        node = child
    return node
