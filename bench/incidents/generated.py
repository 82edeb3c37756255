"""Three generated logs: an access log and a syslog with constant rates, and a JSON service log with day and night.

Rates, times and values are drawn from a seeded generator, so that a name and a seed give the same
bytes on every machine.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from random import Random
from typing import TypeVar

from bench.incidents.stamps import utc

T = TypeVar("T", int, str)
BEGIN = datetime(2026, 10, 5, tzinfo=UTC).timestamp()
"""A Monday, midnight."""
HOSTS = ("web-1", "web-2", "db-1", "mail-1")
PODS = tuple(f"checkout-{number}" for number in range(8))
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Macintosh)", "okhttp/4.12.0", "curl/8.5.0")
_PATHS = {
    "/": 8, "/api/v1/orders": 10, "/api/v1/orders/{}": 12, "/api/v1/users/{}": 9, "/api/v1/cart": 10, "/login": 3,
    "/static/app.{}.js": 14, "/img/{}.png": 16, "/api/v1/search?q={}": 11,
}  # fmt: skip
_STATUSES = {200: 905, 304: 45, 302: 12, 404: 18, 401: 8, 499: 5, 500: 1}


def access_line(rng: Random, time: float, request: str, status: int, client: str = "") -> str:
    """One line of the combined log format."""
    client = client or f"{rng.randint(11, 220)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    size = rng.randint(120, 60_000) if status == 200 else rng.randint(0, 600)
    stamp = f"{utc(time):%d/%b/%Y:%H:%M:%S} +0000"
    return f'{client} - - [{stamp}] "{request} HTTP/1.1" {status} {size} "-" "{rng.choice(_AGENTS)}"'


def access(rng: Random, lines: int) -> Iterator[tuple[float, str]]:
    """A web server's access log: five requests in two seconds, and a health probe every ten seconds."""
    time, probe = BEGIN, BEGIN
    while lines:
        time += rng.expovariate(2.5)
        while probe <= time and lines:
            yield probe, access_line(rng, probe, "GET /healthz", 200, "10.0.0.5")
            probe, lines = probe + 10.0, lines - 1
        if lines:
            path = _one(rng, _PATHS).format(rng.randint(1, 99_999))
            method = "POST" if path in {"/login", "/api/v1/cart"} else _one(rng, {"GET": 90, "POST": 7, "PUT": 3})
            yield time, access_line(rng, time, f"{method} {path}", _one(rng, _STATUSES))
            lines -= 1


def _host_lines(rng: Random) -> Mapping[str, float]:
    """What hosts say, filled with values, and how often."""
    pid, octet, queue = rng.randint(400, 60_000), rng.randint(2, 250), f"{rng.getrandbits(40):010X}"
    user = rng.choice(("admin", "test", "oracle", "git", "ubuntu"))
    mail, mx = f"postfix/smtp[{pid}]: {queue}", f"mx.example.net[203.0.113.{octet}]:25"
    kernel = f"kernel: [{rng.randint(1000, 99_999)}.{rng.randint(0, 999_999):06d}]"
    delay = f"{rng.lognormvariate(0, 0.5):.2f}"
    lan = f"10.0.{rng.randint(0, 9)}.{octet}"
    return {
        f"CRON[{pid}]: (root) CMD (test -x /usr/sbin/anacron || run-parts --report /etc/cron.hourly)": 12,
        f"systemd[1]: Started Session {rng.randint(1, 9999)} of user deploy.": 14,
        f"systemd[1]: session-{rng.randint(1, 9999)}.scope: Deactivated successfully.": 14,
        f"sshd[{pid}]: Accepted publickey for deploy from {lan} port {pid} ssh2: ED25519 SHA256:x1c": 10,
        f"sshd[{pid}]: Failed password for invalid user {user} from 198.51.100.{octet} port {pid} ssh2": 5,
        f"sshd[{pid}]: Connection closed by 198.51.100.{octet} port {pid} [preauth]": 4,
        f"dhclient[512]: DHCPREQUEST for 10.0.0.{octet} on eth0 to 10.0.0.1 port 67": 9,
        f"postfix/smtpd[{pid}]: connect from mail{rng.randint(1, 20)}.example.org[10.9.0.{octet}]": 8,
        f"{mail}: to=<user{octet}@example.net>, relay={mx}, delay={delay}, status=sent (250 OK)": 9,
        f"{mail}: connect to {mx}: Connection timed out, will retry": 0.6,
        f'{kernel} audit: type=1400 apparmor="DENIED" operation="open" pid={pid} comm="cupsd"': 0.5,
        f"{kernel} IPv6: ADDRCONF(NETDEV_CHANGE): veth{octet}: link becomes ready": 0.4,
        f'dockerd[900]: level=info msg="ignoring event" container={rng.getrandbits(256):064x}': 3,
        f"nginx[811]: {octet} worker connections in use": 2,
    }


def syslog(rng: Random, lines: int) -> Iterator[tuple[float, str]]:
    """A central syslog of four hosts: a line in about five seconds, and a backup report every five minutes."""
    time, backup = BEGIN, BEGIN
    while lines:
        time += rng.expovariate(1 / 5.2)
        while backup <= time and lines:
            took = f"{rng.uniform(8, 15):.1f} s"
            yield backup, f"{utc(backup):%b %e %H:%M:%S} db-1 backup[771]: snapshot of /srv finished in {took}"
            backup, lines = backup + 300.0, lines - 1
        if lines:
            yield time, f"{utc(time):%b %e %H:%M:%S} {rng.choice(HOSTS)} {_one(rng, _host_lines(rng))}"
            lines -= 1


def service_line(rng: Random, time: float, fields: Mapping[str, str | int | float]) -> str:
    """One JSON object a line, the time first."""
    when = utc(time)
    stamp = f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"
    return json.dumps({"ts": stamp, **fields}, separators=(",", ":"))


FieldValues = dict[str, str | int | float]
_MESSAGES = {"request": 700, "cache": 150, "payment": 80, "gc": 57, "login": 5, "retry": 4, "denied": 3, "timeout": 1}
_BEAT: FieldValues = {"level": "info", "service": "scheduler", "pod": "scheduler-0", "msg": "heartbeat"}
_ROUTES = {"/prices": 6, "/cart": 5, "/orders/{id}": 4, "/checkout": 2}


def _service_fields(rng: Random, busy: float) -> FieldValues:
    """What one pod reports; latencies grow with how busy the day is (0 to 1)."""
    base: FieldValues = {"level": "info", "service": "checkout", "pod": rng.choice(PODS)}
    latency = round(rng.lognormvariate(3.0 + 0.4 * busy, 0.45), 1)
    rest: FieldValues
    match _one(rng, _MESSAGES):
        case "request":
            status = _one(rng, {200: 960, 404: 25, 409: 14, 500: 1})
            rest = {"msg": "request handled", "route": _one(rng, _ROUTES), "status": status, "latency_ms": latency}
        case "cache":
            rest = {"msg": "cache miss, loading from database", "key": f"price:{rng.randint(1, 99_999)}"}
        case "payment":
            amount = round(rng.uniform(3, 400), 2)
            rest = {"msg": "payment accepted", "amount": amount, "latency_ms": round(latency * 4, 1)}
        case "retry":
            rest = {"level": "warn", "msg": "payment provider did not answer, retrying", "attempt": rng.randint(1, 3)}
        case "login":
            rest = {"msg": "login succeeded", "user_id": rng.randint(1, 99_999)}
        case "denied":
            rest = {"level": "warn", "msg": "login failed", "client": f"203.0.113.{rng.randint(1, 254)}"}
        case "timeout":
            rest = {"level": "error", "msg": "inventory timed out", "timeout_ms": 2000}
        case _:
            pause = round(rng.lognormvariate(1.5, 0.4), 1)
            rest = {"msg": "gc finished", "heap_mb": rng.randint(180, 420), "pause_ms": pause}
    return {**base, **rest, "trace_id": f"{rng.getrandbits(64):016x}"}


def service(rng: Random, lines: int) -> Iterator[tuple[float, str]]:
    """A checkout service of eight pods: four times as many requests by day as by night, and a heartbeat each minute."""
    time, beat = BEGIN, BEGIN
    while lines:
        busy = 0.5 - 0.5 * math.cos(2 * math.pi * (time - BEGIN) / 86_400)
        time += rng.expovariate(0.03 + 0.09 * busy)
        while beat <= time and lines:
            yield beat, service_line(rng, beat, {**_BEAT, "queue_length": rng.randint(0, 9)})
            beat, lines = beat + 60.0, lines - 1
        if lines:
            yield time, service_line(rng, time, _service_fields(rng, busy))
            lines -= 1


GENERATORS: Mapping[str, Callable[[Random, int], Iterator[tuple[float, str]]]] = {
    "access": access,
    "syslog": syslog,
    "service": service,
}


def _one(rng: Random, weights: Mapping[T, float]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]
