import pytest

from bench.harness import SCENARIOS
from bench.report import put_section, read_result, write_sections
from bench.tables.detectors import BEFORE, BEGIN, END, PAGE, PUBLISHED, README, columns, section, summary
from tests.support.paths import ROOT


def figures(name, f1, **more):
    return {f"{name}.{k}": v for k, v in {"f1": f1, "precision": 0.5, "recall": 1.0, **more}.items()}


@pytest.fixture
def found():
    random = {
        **figures("bert_cnn", 0.99, f1_std=0.002, train_s=3.0), **figures("deeplog", 0.7),
        **figures("event_counts", 0.8), "f1": 0.99, "precision": 0.9,
    }  # fmt: skip
    lines = {**figures("bert_cnn", 0.9), **figures("bert_cnn.new_templates", 0.4), **figures("event_counts", 0.9)}
    return columns(
        [
            {"scenario": "detect-hdfs-8020", "metrics": random, "settings": {"seeds": 5}},
            {"scenario": "detect-bgl-lines", "metrics": lines, "settings": {}},
            {
                "scenario": "detect-iotdb",
                "metrics": figures("deeplog", 0.3),
                "settings": {"window": "time", "detectors": "deeplog"},
                "peers": {"every_window": {"f1": 0.6, "precision": 0.5, "recall": 1.0}},
            },
        ]
    )


def test_every_set_and_part_is_a_column(found):
    assert [c.heading for c in found] == ["hdfs-8020", "bgl-lines", "bgl-lines, new templates", "iotdb, time"]
    assert found[0].command == "python -m bench run detect-hdfs-8020 --set seeds=5"
    assert found[3].command == "python -m bench run detect-iotdb --set window=time --set detectors=deeplog"
    assert set(found[0].figures) == {"bert_cnn", "deeplog", "event_counts"}


def test_a_detector_is_held_against_what_needs_no_more_labels(found):
    with_trees = columns(
        [
            {
                "scenario": "detect-hdfs-8020",
                "metrics": {**figures("event_counts", 0.8), **figures("event_counts_boosted", 0.9)},
            }
        ]
    )[0]
    assert (with_trees.floor("deeplog"), with_trees.floor("bert_cnn")) == (0.8, 0.9)
    assert found[3].floor("deeplog") == 0.6


def test_the_best_is_bold_and_what_does_not_beat_the_floor_is_marked(found):
    rows = [row for row in section(found).splitlines() if row.startswith("| `")]
    assert rows == [
        "| `bert_cnn` | **0.990** ± 0.002 (0.500, 1.000) | **0.900** ✗ (0.500, 1.000) | **0.400** (0.500, 1.000) | - |",
        "| `deeplog` | 0.700 ✗ (0.500, 1.000) | - | - | 0.300 ✗ (0.500, 1.000) |",
        "| `every_window` | - | - | - | **0.600** (0.500, 1.000) |",
        "| `event_counts` | 0.800 (0.500, 1.000) | **0.900** (0.500, 1.000) | - | - |",
    ]


def test_every_column_has_its_command_and_what_was_published(found):
    text = section(found)
    assert text.count("- `python -m bench run detect-") == 3
    assert PUBLISHED["detect-hdfs-8020"] in text


def test_the_section_is_put_in_once_and_then_replaced(found, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# A\n\ntext\n\n{BEFORE}\n\n- one\n")
    put = {page: (section(found), "Detectors, measured", BEFORE)}
    write_sections(put)
    once = page.read_text()
    assert once.index("## Detectors, measured") < once.index(BEGIN) < once.index(END) < once.index(BEFORE)
    write_sections(put)
    assert page.read_text() == once
    assert put_section(once, f"{BEGIN}\nnew\n{END}", "Detectors, measured", BEFORE).count("new") == 1


def test_the_summary_has_the_best_network_of_each_set_beside_the_best_without(found):
    assert summary(found).splitlines()[3:-1] == [
        "| hdfs-8020 | `bert_cnn` | 0.990 | `event_counts` | 0.800 |",
        "| bgl-lines | `bert_cnn` | 0.900 | `event_counts` | 0.900 |",
        "| bgl-lines, new templates | `bert_cnn` | 0.400 | - | - |",
        "| iotdb, time | `deeplog` | 0.300 | `every_window` | 0.600 |",
    ]


def test_published_figures_belong_to_scenarios():
    assert set(PUBLISHED) <= set(SCENARIOS)


def test_the_tables_in_the_documents_are_those_of_the_results():
    results = [read_result(path) for path in sorted((ROOT / "bench" / "results").glob("detect-*.json"))]
    assert section(columns(results)) in PAGE.read_text("utf-8"), "run `python -m bench.tables.detectors`"
    assert summary(columns(results)) in README.read_text("utf-8"), "run `python -m bench.tables.detectors`"
