import pytest

from bench.harness import SCENARIOS
from bench.tables.detectors import PUBLISHED, SECTION, columns, render


def figures(name, f1, **more):
    return {f"{name}.{k}": v for k, v in {"f1": f1, "f1_fitted": f1, "precision": 0.5, "recall": 1.0, **more}.items()}


@pytest.fixture
def results():
    random = {
        **figures("bert_cnn", 0.99, f1_std=0.002, train_s=3.0), **figures("deeplog", 0.7),
        **figures("event_counts", 0.8), "f1": 0.99, "precision": 0.9,
    }  # fmt: skip
    lines = {**figures("bert_cnn", 0.9), **figures("bert_cnn.new_templates", 0.4), **figures("event_counts", 0.9)}
    return [
        {"scenario": "detect-hdfs-8020", "metrics": random, "settings": {"seeds": 5}},
        {"scenario": "detect-bgl-lines", "metrics": lines, "settings": {}},
        {
            "scenario": "detect-iotdb",
            "metrics": figures("deeplog", 0.3),
            "settings": {"window": "time", "detectors": "deeplog"},
            "peers": {"every_window": {"f1": 0.6, "precision": 0.5, "recall": 1.0}},
        },
    ]


@pytest.fixture
def found(results):
    return columns(results)


def test_every_set_and_part_is_a_column(found):
    assert [c.heading for c in found] == ["hdfs-8020", "bgl-lines", "bgl-lines, new templates", "iotdb, time"]
    assert found[0].commands == ("python -m bench run detect-hdfs-8020 --set seeds=5",)
    assert found[3].commands == ("python -m bench run detect-iotdb --set window=time --set detectors=deeplog",)
    assert set(found[0].figures) == {"bert_cnn", "deeplog", "event_counts"}


def test_results_of_one_set_share_a_column_and_older_ones_are_marked(results):
    old = {"deeplog.f1": 0.2, "deeplog.precision": 0.5, "deeplog.recall": 1.0}
    more = {"scenario": "detect-hdfs-8020", "metrics": old, "settings": {"detectors": "deeplog"}}
    merged = columns([results[0], more])
    assert len(merged) == 1
    assert merged[0].commands[1] == "python -m bench run detect-hdfs-8020 --set detectors=deeplog"
    assert "| `deeplog` | 0.200 ✗ † (0.500, 1.000) |" in render([results[0], more])


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


def test_the_best_is_bold_and_what_does_not_beat_the_floor_is_marked(results):
    rows = [row for row in render(results) if row.startswith("| `")]
    assert rows == [
        "| `bert_cnn` | **0.990** ± 0.002 (0.500, 1.000) | **0.900** ✗ (0.500, 1.000) | **0.400** (0.500, 1.000) | - |",
        "| `deeplog` | 0.700 ✗ (0.500, 1.000) | - | - | 0.300 ✗ (0.500, 1.000) |",
        "| `every_window` | - | - | - | **0.600** (0.500, 1.000) |",
        "| `event_counts` | 0.800 (0.500, 1.000) | **0.900** (0.500, 1.000) | - | - |",
    ]


def test_every_column_has_its_command_and_what_was_published(results):
    text = "\n".join(render(results))
    assert text.count("- `python -m bench run detect-") == 3
    assert PUBLISHED["detect-hdfs-8020"] in text


def test_published_figures_belong_to_scenarios():
    assert set(PUBLISHED) <= set(SCENARIOS)


def test_the_table_in_the_documents_is_that_of_the_results():
    assert SECTION.text(SECTION.committed()) in SECTION.page.read_text("utf-8"), (
        "run `python -m bench.tables.detectors`"
    )
