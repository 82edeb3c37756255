"""The metrics table, its exposition, and the histogram that takes columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram as PlainHistogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from engine.telemetry.metrics import DURATIONS_S, MAX_REASONS, Histogram, Metrics, MetricSpec

SPEC = MetricSpec("driftline_x_seconds", "histogram", "seconds", (), "x")


def families(metrics):
    content_type, page = metrics.expose("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    return {family.name: family for family in text_string_to_metric_families(page.decode())}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_every_row_is_exposed_with_its_type_unit_and_help():
    metrics = Metrics()
    exposed = families(metrics)
    for spec in metrics.specs:
        family = exposed[spec.name]
        assert (family.type, family.unit, family.documentation) == (spec.kind, spec.unit, spec.help)


def test_names_follow_the_conventions():
    for spec in Metrics().specs:
        assert spec.name.startswith("driftline_")
        assert not spec.name.endswith("_total")
        assert spec.help.endswith(".")
        if spec.unit:
            assert spec.name.endswith("_" + spec.unit)


def test_samples_carry_the_documented_names():
    metrics = Metrics()
    metrics.lines.inc(1000)
    metrics.bad_lines.labels("timestamp").inc(2)
    metrics.source_lag.labels("logs/3").set(17)
    metrics.model_version.labels("bert_cnn").set(4)
    metrics.batch_seconds.observe(0.002, "parse")
    assert value(metrics, "driftline_lines_total") == 1000
    assert value(metrics, "driftline_bad_lines_total", reason="timestamp") == 2
    assert value(metrics, "driftline_source_lag", partition="logs/3") == 17
    assert value(metrics, "driftline_model_version", model="bert_cnn") == 4
    assert value(metrics, "driftline_batch_seconds_count", step="parse") == 1
    assert value(metrics, "driftline_batch_seconds_bucket", step="parse", le="0.0025") == 1
    assert value(metrics, "driftline_batch_seconds_bucket", step="parse", le="0.001") == 0


def test_plain_text_is_the_default_format():
    content_type, page = Metrics().expose("*/*")
    assert content_type.startswith("text/plain")
    assert b"# TYPE driftline_lines_total counter" in page


def test_two_instances_share_nothing():
    first, second = Metrics(), Metrics()
    first.lines.inc()
    assert value(second, "driftline_lines_total") == 0


def test_a_second_metric_of_the_same_name_is_refused():
    metrics = Metrics()
    with pytest.raises(ValueError, match="Duplicated"):
        metrics.registry.register(Histogram(MetricSpec("driftline_score", "histogram", "", (), "x"), (1.0,)))


def test_bad_lines_are_counted_by_kind_and_kinds_are_bounded():
    metrics = Metrics()
    metrics.count_bad_lines(
        [
            "time 1970-01-01T00:00:00 is before 1990-01-01T00:00:00, the earliest accepted",
            "time 1971-02-03T00:00:00 is before 1990-01-01T00:00:00, the earliest accepted",
            "does not match format hdfs: expected 'date time', got 'x 1'",
        ]
    )
    early = "time # is before # the earliest accepted"
    assert value(metrics, "driftline_bad_lines_total", reason=early) == 2
    assert value(metrics, "driftline_bad_lines_total", reason="does not match format hdfs") == 1
    metrics.count_bad_lines([f"made up {chr(0x4E00 + i)}" for i in range(10 * MAX_REASONS)])
    samples = families(metrics)["driftline_bad_lines"].samples
    totals = [sample for sample in samples if sample.name.endswith("_total")]
    assert len(totals) <= MAX_REASONS + 1
    assert sum(sample.value for sample in totals) == 3 + 10 * MAX_REASONS


@given(st.lists(st.floats(0, 20, allow_nan=False) | st.sampled_from(DURATIONS_S), max_size=60))
def test_a_column_counts_like_single_values_and_like_the_plain_histogram(values):
    column, single = Histogram(SPEC, DURATIONS_S), Histogram(SPEC, DURATIONS_S)
    plain = PlainHistogram("driftline_x_seconds", "x", registry=None, buckets=DURATIONS_S)
    column.observe_all(np.array(values, np.float64))
    for one in values:
        single.observe(one)
        plain.observe(one)

    def buckets(histogram):
        samples = [s for family in histogram.collect() for s in family.samples]
        return {(s.name, s.labels.get("le")): s.value for s in samples if s.name.endswith(("_bucket", "_count"))}

    if values:
        assert buckets(column) == buckets(single) == buckets(plain)
    else:
        assert buckets(column) == {}


def test_float32_scores_are_summed_in_double():
    metrics = Metrics()
    metrics.score.observe_all(np.full(1_000_000, 0.1, np.float32))
    assert value(metrics, "driftline_score_sum") == pytest.approx(100_000, rel=1e-6)
    assert value(metrics, "driftline_score_count") == 1_000_000


def test_a_histogram_wants_all_its_labels():
    with pytest.raises(ValueError, match="takes the labels"):
        Metrics().batch_seconds.observe(1.0)
