from bench.report import put_section
from bench.tables.incidents import SECTION


def row(found, others):
    return {"found": found, "others_per_10k": others}


TABLES = {
    "scan": {
        "all": {"all": row(0.9, 1.0)},
        "bgl": {"all": row(0.9, 1.0), "oom": row(1.0, 0.0), "none": {"others_per_10k": 2.0}},
        "spark": {"all": row(0.8, 0.5), "latency": row(0.5, 0.5)},
    },
    "script": {
        "all": {"all": row(0.7, 9.0)},
        "bgl": {"all": row(0.7, 98.6), "oom": row(0.25, 0.0), "none": {"others_per_10k": 2.0}},
        "spark": {"all": row(0.6, 25.0), "latency": row(0.0, 25.0)},
    },
}
RESULT = {
    "scenario": "incidents",
    "metrics": {"found": 0.9, "rank1": 0.8, "others_per_10k_real": 1.25, "script.found": 0.7},
    "peers": {"script": {"found": 0.7, "others_per_10k_real": 106.8}},
    "detail": {"tables": TABLES},
}


def test_detectors_logs_and_kinds_are_tabulated():
    text = SECTION.text([RESULT])
    assert "| `scan` | 0.900 | 0.800 | - | - | 1.25 | - | - |" in text
    assert "| `script` | 0.700 | - | - | - | 106.80 | - | - |" in text
    assert "| `bgl` | 0.900 / 1.0 | 0.700 / 98.6 |" in text
    assert "share found by `scan` and `script`" in text
    assert "| `oom` | 1.00 / 0.25 | - |" in text
    assert "| `latency` | - | 0.50 / 0.00 |" in text


def test_the_section_is_inserted_once():
    text = SECTION.text([RESULT])
    page = put_section(f"# A\n\n{SECTION.before}\n\nNone.\n", text, SECTION.heading, SECTION.before)
    assert page.count(SECTION.heading) == 1
    assert put_section(page, text, SECTION.heading, SECTION.before) == page
