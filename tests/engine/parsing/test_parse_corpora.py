"""Real logs: the templates that come out are pinned, and equal plain Drain3's line by line.

When a change to the masks is meant, run with `-k fingerprint -rA` and copy the printed figures.
"""

import hashlib

import pytest

from engine.parse import ParseSettings

# corpus: (format, lines that parse, templates at the end, fingerprint of their texts)
GOLDEN = {
    "BGL": ("bgl", 2000, 105, "eaf129435d59ded0"),
    "HDFS": ("hdfs", 2000, 16, "5309f7c33dddf06a"),
    "Hadoop": ("raw", 2000, 67, "a3544cf83cac3d5f"),
    "Linux": ("syslog", 2000, 110, "6a40ddb45fca5349"),
    "Mac": ("syslog", 2000, 294, "03cd1fe989700b8b"),
    "OpenSSH": ("syslog", 2000, 23, "8e938e9b6981d3d6"),
    "OpenStack": ("openstack", 2000, 32, "22b1ae9c2d7cc28b"),
    "bgl": ("bgl", 20000, 178, "1ccacfe9d870a7ba"),
    "hdfs": ("hdfs", 222579, 31, "568ff41a08dae3bb"),
}


def fingerprint(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", GOLDEN)
def test_fingerprint(name, corpus, parser_of, answers_of):
    format, parsed, templates, digest = GOLDEN[name]
    lines = corpus(name)
    parser = parser_of(ParseSettings(format=format))
    answers = answers_of(parser, lines, cuts=range(0, len(lines), 4096))
    found = (format, len(answers.good), parser.template_count, fingerprint(sorted(answers.texts.values())))
    print(f'    "{name}": {found},'.replace("'", '"'))
    assert found == (format, parsed, templates, digest)


@pytest.mark.parametrize("name", GOLDEN)
def test_same_clusters_as_drain_alone(name, corpus, parser_of, answers_of, plain_answers_of):
    settings = ParseSettings(format=GOLDEN[name][0])
    lines = corpus(name)[:60_000]
    got = answers_of(parser_of(settings), lines, cuts=range(0, len(lines), 5000))
    want = plain_answers_of(settings, lines)
    assert got.cluster == want.cluster
    assert got.good == want.good
    assert got.bad == want.bad
