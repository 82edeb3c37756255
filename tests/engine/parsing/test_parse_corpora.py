"""Real logs: the templates that come out are pinned, and equal plain Drain3's line by line.

When a change to the masks is meant, run with `-k fingerprint -rA` and copy the printed figures.
"""

import hashlib

import pytest

from engine.steps.parse import ParseSettings
from tests.support.sweep import sweep

# corpus: (format, lines that parse, templates at the end, fingerprint of their texts)
GOLDEN = {
    "Android": ("android", 2000, 170, "320295b1ac482403"),
    "Apache": ("apache", 2000, 6, "89ebdd9d5f70aae0"),
    "BGL": ("bgl", 2000, 105, "eaf129435d59ded0"),
    "HDFS": ("hdfs", 2000, 16, "5309f7c33dddf06a"),
    "HPC": ("hpc", 2000, 47, "6fcb428330f7f521"),
    "Hadoop": ("hadoop", 2000, 120, "c50b0e81f39cd529"),
    "HealthApp": ("healthapp", 2000, 75, "2bf8d48081692028"),
    "Linux": ("syslog", 2000, 114, "1fae02f6009f1616"),
    "Mac": ("syslog", 2000, 321, "dbc9635323046909"),
    "OpenSSH": ("syslog", 2000, 26, "8a656594af111184"),
    "OpenStack": ("openstack", 2000, 42, "ebd305e553f9b4a0"),
    "Proxifier": ("proxifier", 2000, 8, "9df560a2c7faa8d8"),
    "Spark": ("spark", 2000, 37, "ab37f912c2644fa8"),
    "Thunderbird": ("thunderbird", 2000, 172, "1838c1ef0bf7dd53"),
    "Windows": ("windows", 2000, 64, "347d3026f997dcd6"),
    "Zookeeper": ("zookeeper", 2000, 52, "11c813712a9c1454"),
    "bgl": ("bgl", 20000, 182, "0c851a3b117415d5"),
    "hdfs": ("hdfs", 222579, 32, "90a59f17abdb5d2d"),
}


def fingerprint(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", GOLDEN)
def test_fingerprint(name, corpus, parser_of, answers_of):
    format, parsed, templates, digest = GOLDEN[name]
    lines = corpus(name)
    parser = parser_of(ParseSettings(format=format))
    answers = answers_of(parser, lines, cuts=range(0, len(lines), 4096))
    found = (format, len(answers.good), max(answers.cluster), fingerprint(sorted(answers.texts.values())))
    print(f'    "{name}": {found},'.replace("'", '"'))
    assert found == (format, parsed, templates, digest)


@pytest.mark.parametrize("name", GOLDEN)
def test_same_clusters_as_drain_alone(name, corpus, parser_of, answers_of, plain_answers_of):
    settings = ParseSettings(format=GOLDEN[name][0])
    lines = corpus(name)[: sweep(10_000, 60_000)]
    got = answers_of(parser_of(settings), lines, cuts=range(0, len(lines), 5000))
    want = plain_answers_of(settings, lines)
    assert got.cluster == want.cluster
    assert got.good == want.good
    assert got.bad == want.bad
