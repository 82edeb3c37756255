"""Reads the pages that the endpoints of an engine serve."""

import http.client
import ssl
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

_PEM_END = "-----END CERTIFICATE-----"

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # to connect to, from this machine


def read_page(
    host: str, port: int, path: str, timeout_s: float, *, token: str = "", certificate: Path | None = None
) -> tuple[int, str]:
    """The status and the text of a page.

    It is read without the proxy of the environment, which would get the token and cannot reach this machine.

    Args:
        host: As in `TelemetrySettings`.
        port: Port of the worker.
        path: Such as `/healthz`.
        timeout_s: How long the worker may take to connect, and between two pieces of its answer.
        token: Bearer token; "" for none.
        certificate: The worker's certificate, where it serves HTTPS. It is compared where a token is sent, so only the
            worker gets it; a probe without one must not fail because the certificate has expired.

    Raises:
        OSError: no program answers there, or one that does not speak HTTP.
        ValueError: the answer is not UTF-8, or the token cannot be sent.
    """
    address = _ANY_ADDRESS.get(host, host)
    if certificate is None:
        connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    else:
        context = _trusting(certificate if token else None)
        connection = http.client.HTTPSConnection(address, port, timeout=timeout_s, context=context)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8")
    except http.client.HTTPException as error:
        raise OSError(f"port {port} of {host} does not answer with HTTP: {error!r}") from error
    finally:
        connection.close()


def _trusting(certificate: Path | None) -> ssl.SSLContext:
    """For connections to a program with this certificate, whatever name and issuer it has; None: any program."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if certificate is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        # Without the chain behind it, by whose authorities others could be certified.
        first, end, _ = certificate.read_text("ascii", "ignore").partition(_PEM_END)
        context.load_verify_locations(cadata=first + end)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


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
