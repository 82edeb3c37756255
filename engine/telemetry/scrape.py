"""Reads a page of metrics back, as `/metrics` of an engine shows it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class MetricSample:
    """A value of a metric with its labels."""

    labels: Mapping[str, str]
    value: float


def read_metrics(page: str) -> Mapping[str, Sequence[MetricSample]]:
    """The samples of a page in Prometheus text, by the name of the sample.

    Raises:
        ValueError: it is not such a page.
    """
    found: dict[str, list[MetricSample]] = defaultdict(list)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name].append(MetricSample(sample.labels, float(sample.value)))
    return found
