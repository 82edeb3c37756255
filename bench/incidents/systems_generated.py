"""How the lines of the three generated logs look, and which incidents they can show.

What a system says when something happens is in `sayings.toml`.
"""

import re
from random import Random

from bench.incidents.base import System
from bench.incidents.generated import access_line, service_line
from bench.incidents.recipes import Edit, Repeat, Saying, Stop
from bench.incidents.sayings import inserts
from bench.incidents.stamps import ACCESS, JSON_TS, syslog
from bench.incidents.systems_real import syslog_line

ONLY_REQUESTS = "an access log reports requests only"


def _request(rng: Random, time: float, saying: Saying) -> str:
    """The text is the request, the level the statuses to draw from, the source the client."""
    return access_line(rng, time, saying.text, int(rng.choice(saying.level.split())), saying.source)


def _event(rng: Random, time: float, saying: Saying) -> str:
    """The source is the pod; further columns come from the saying's fields."""
    base = {"level": saying.level, "service": "checkout", "pod": saying.source or f"checkout-{rng.randint(0, 7)}"}
    trace = {"trace_id": f"{rng.getrandbits(64):016x}"}
    return service_line(rng, time, {**base, "msg": saying.text, **(saying.fields or {}), **trace})


def _one_host(rng: Random, line: str) -> str:
    return re.sub(r"^(\S+ +\d+ \S+) \S+", r"\1 web-2", line)


def _one_pod(rng: Random, line: str) -> str:
    return re.sub(r'"pod":"[^"]+"', '"pod":"checkout-5"', line)


def _slow_mail(rng: Random, match: re.Match[str], factor: float) -> str:
    return f"delay={float(match[1]) * factor * rng.uniform(0.8, 1.2):.2f}"


def _slow_payment(rng: Random, match: re.Match[str], factor: float) -> str:
    return f"{match[1]}{float(match[2]) * factor * rng.uniform(0.8, 1.2):.1f}"


ACCESS_SYSTEM = System(
    ACCESS,
    _request,
    {
        **inserts("access"),
        "error_burst": Repeat(re.compile('" 500 ')),
        "heartbeat": Stop(re.compile("GET /healthz")),
        "retry_leak": Repeat(re.compile('" 499 ')),
    },
    {
        "latency": "the combined log format has no duration",
        "crash_loop": ONLY_REQUESTS,
        "oom": ONLY_REQUESTS,
        "config_reload": ONLY_REQUESTS,
        "odd_node": "the log is of one host and names no upstream",
    },
)
SYSLOG_SYSTEM = System(
    syslog(2026),
    syslog_line("web-1"),
    {
        **inserts("syslog"),
        "error_burst": Repeat(re.compile("apparmor")),
        "latency": Edit(re.compile(r"delay=([\d.]+)"), _slow_mail),
        "heartbeat": Stop(re.compile("snapshot of /srv finished")),
        "retry_leak": Repeat(re.compile("will retry")),
        "odd_node": Repeat(re.compile("worker connections in use"), _one_host),
    },
    {"http_5xx": "the log has no HTTP requests"},
)
SERVICE_SYSTEM = System(
    JSON_TS,
    _event,
    {
        **inserts("service"),
        "error_burst": Repeat(re.compile("inventory timed out")),
        "latency": Edit(re.compile(r'("msg":"payment accepted".*"latency_ms":)([\d.]+)'), _slow_payment),
        "heartbeat": Stop(re.compile('"msg":"heartbeat"')),
        "retry_leak": Repeat(re.compile("retrying")),
        "odd_node": Repeat(re.compile("cache miss"), _one_pod),
    },
    {},
)
