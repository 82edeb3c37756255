"""How the lines of eight real systems look, and which incidents their logs can show.

What a system says when something happens is in `sayings.toml`.
"""

import re
from collections.abc import Callable
from random import Random

from bench.incidents.base import System
from bench.incidents.recipes import Edit, Repeat, Saying, Stop
from bench.incidents.sayings import inserts
from bench.incidents.stamps import (
    APACHE,
    BGL,
    BGL_ZONE_S,
    HDFS,
    LOG4J,
    OPENSTACK,
    PHONE,
    SPARK,
    milliseconds,
    syslog,
    utc,
)

NO_REQUESTS = "the log has no HTTP requests"
NO_LATENCY = "no template of the log holds a duration"
NO_TICK = "no line of the log comes at regular times"
NO_LOGINS = "nobody logs in here"
NO_HOSTS = "the log is of one host and names no others"
NO_RETRY = "the past holds no line of a retry"
NO_ERROR = "the past holds no line of an error"


def syslog_line(host: str) -> Callable[[Random, float, Saying], str]:
    """A writer of RFC 3164 lines; the source is the tag, or host and tag."""

    def write(rng: Random, time: float, saying: Saying) -> str:
        where, _, tag = saying.source.rpartition(" ")
        return f"{utc(time):%b %e %H:%M:%S} {where or host} {tag}: {saying.text}"

    return write


def _hdfs_line(rng: Random, time: float, saying: Saying) -> str:
    return f"{utc(time):%y%m%d %H%M%S} {rng.randint(13, 29000)} {saying.level} {saying.source}: {saying.text}"


def _spark_line(rng: Random, time: float, saying: Saying) -> str:
    return f"{utc(time):%y/%m/%d %H:%M:%S} {saying.level} {saying.source}: {saying.text}"


def _iotdb_line(rng: Random, time: float, saying: Saying) -> str:
    """The source is thread, logger and line number."""
    thread, _, logger = saying.source.rpartition(" ")
    stamp = f"{utc(time):%Y-%m-%d %H:%M:%S},{milliseconds(time)}"
    return f"{stamp} [{thread}] {saying.level:<5} {logger} - {saying.text} "


def _bgl_line(rng: Random, time: float, saying: Saying) -> str:
    """The source is the facility, or location and facility."""
    local = utc(time + BGL_ZONE_S)
    where, _, facility = saying.source.rpartition(" ")
    rack = f"R{rng.randint(0, 3)}{rng.randint(0, 7)}-M{rng.randint(0, 1)}"
    where = where or f"{rack}-N{rng.randint(0, 9)}-C:J{rng.randint(2, 17):02d}-U11"
    stamp = f"{int(time)} {local:%Y.%m.%d} {where} {local:%Y-%m-%d-%H.%M.%S.%f}"
    return f"- {stamp} {where} RAS {facility} {saying.level} {saying.text}"


def _apache_line(rng: Random, time: float, saying: Saying) -> str:
    return f"[{utc(time):%a %b %d %H:%M:%S %Y}] [{saying.level}] {saying.text}"


def _openstack_line(rng: Random, time: float, saying: Saying) -> str:
    """The source is file and logger."""
    file, _, logger = saying.source.partition(" ")
    word = f"{rng.getrandbits(128):032x}"
    request = f"req-{word[:8]}-{word[8:12]}-4{word[13:16]}-{word[16:20]}-{word[20:]}"
    stamp = f"{utc(time):%Y-%m-%d %H:%M:%S}.{milliseconds(time)} {rng.choice((2931, 25746, 25788))}"
    return f"{file}.log.1.2017-05-16_13:53:08 {stamp} {saying.level} {logger} [{request} - - - - -] {saying.text}"


def _phone_line(rng: Random, time: float, saying: Saying) -> str:
    when = utc(time)
    stamp = f"{when:%Y%m%d}-{when.hour}:{when.minute}:{when.second}:{when.microsecond // 1000}"
    return f"{stamp}|{saying.source}|30002312|{saying.text}"


def _always(pattern: str, text: str) -> Callable[[Random, str], str]:
    """A change that names one host in place of the line's own."""
    return lambda rng, line: re.sub(pattern, text, line)


def _slow_task(rng: Random, match: re.Match[str], factor: float) -> str:
    return f"Times: total = {round(int(match[1]) * factor * rng.uniform(0.8, 1.2))}{match[2]}"


def _slow_request(rng: Random, match: re.Match[str], factor: float) -> str:
    return f"{match[1]}{float(match[2]) * factor * rng.uniform(0.8, 1.2):.7f}"


def _bad_gateway(rng: Random, match: re.Match[str], factor: float) -> str:
    return f"{match[1]}status: {rng.choice((502, 504))} len: 166 time: {rng.uniform(1, 30):.7f}"


DETAIL = r'("GET /v2/\w+/servers/detail HTTP/1.1" '
HDFS_SYSTEM = System(
    HDFS,
    _hdfs_line,
    {
        **inserts("hdfs"),
        "error_burst": Repeat(re.compile("Unexpected error trying to delete")),
    },
    {
        "http_5xx": NO_REQUESTS,
        "latency": NO_LATENCY,
        "heartbeat": NO_TICK,
        "brute_force": NO_LOGINS,
        "retry_leak": "jobs write its only warning by the hundred, so that a few more are nothing unusual",
        "odd_node": "nodes stand inside messages, and those come by the hundred from one node",
    },
)
SPARK_SYSTEM = System(
    SPARK,
    _spark_line,
    {**inserts("spark"), "latency": Edit(re.compile(r"Times: total = (\d+)(.*)"), _slow_task)},
    {
        "error_burst": NO_ERROR,
        "http_5xx": NO_REQUESTS,
        "heartbeat": NO_TICK,
        "brute_force": NO_LOGINS,
        "retry_leak": NO_RETRY,
        "odd_node": NO_HOSTS,
    },
)
_IOTDB_MISSING = {
    "http_5xx": NO_REQUESTS,
    "latency": NO_LATENCY,
    "heartbeat": NO_TICK,
    "brute_force": NO_LOGINS,
    "retry_leak": NO_RETRY,
}
IOTDB_LEADER = System(
    LOG4J,
    _iotdb_line,
    {
        **inserts("iotdb"),
        "error_burst": Repeat(re.compile("WARN")),
        "odd_node": Repeat(
            re.compile(r"->\d-GrpcLogAppender-LogAppenderDaemon.* schedule a task"), _always(r"->\d", "->4")
        ),
    },
    _IOTDB_MISSING,
)
IOTDB_FOLLOWER = System(
    LOG4J,
    _iotdb_line,
    {**inserts("iotdb"), "error_burst": Repeat(re.compile("WARN"))},
    {**_IOTDB_MISSING, "odd_node": NO_HOSTS},
)
BGL_SYSTEM = System(
    BGL,
    _bgl_line,
    {
        **inserts("bgl"),
        "error_burst": Repeat(re.compile(r"ddr errors\(s\) detected")),
        "retry_leak": Repeat(re.compile("performing bit sparing")),
        "odd_node": Repeat(
            re.compile("generating core"), _always(r"R\d\d-M\d-N\w-C:J\d\d-U\d\d", "R17-M0-N3-C:J09-U11")
        ),
    },
    {"http_5xx": NO_REQUESTS, "latency": NO_LATENCY, "heartbeat": NO_TICK, "brute_force": NO_LOGINS},
)
OPENSSH_SYSTEM = System(
    syslog(2015),
    syslog_line("LabSZ"),
    {**inserts("openssh"), "error_burst": Repeat(re.compile("error: Received disconnect"))},
    {
        "brute_force": "the log consists of brute force, so more of it is not an incident",
        "http_5xx": NO_REQUESTS,
        "latency": NO_LATENCY,
        "heartbeat": NO_TICK,
        "retry_leak": NO_RETRY,
        "odd_node": NO_HOSTS,
    },
)
APACHE_SYSTEM = System(
    APACHE,
    _apache_line,
    {
        **inserts("apache"),
        "error_burst": Repeat(re.compile("Directory index forbidden")),
        "retry_leak": Repeat(re.compile("Can't find child|child init")),
    },
    {"http_5xx": "an error log names no status", "latency": NO_LATENCY, "heartbeat": NO_TICK, "odd_node": NO_HOSTS},
)
OPENSTACK_SYSTEM = System(
    OPENSTACK,
    _openstack_line,
    {
        **inserts("openstack"),
        "error_burst": Repeat(re.compile("WARNING")),
        "http_5xx": Edit(re.compile(DETAIL + r")status: 200 len: \d+ time: [\d.]+"), _bad_gateway),
        "latency": Edit(re.compile(DETAIL + r"status: 200 len: \d+ time: )([\d.]+)"), _slow_request),
        "heartbeat": Stop(re.compile("Auditing locally available compute resources")),
    },
    {"retry_leak": NO_RETRY, "odd_node": NO_HOSTS},
)
HEALTHAPP_SYSTEM = System(
    PHONE,
    _phone_line,
    {
        **inserts("healthapp"),
        "error_burst": Repeat(re.compile("(?i)fail")),
        "heartbeat": Stop(re.compile("processHandleBroadcastAction action:android.intent.action.TIME_TICK")),
    },
    {
        "http_5xx": NO_REQUESTS,
        "latency": NO_LATENCY,
        "brute_force": NO_LOGINS,
        "retry_leak": NO_RETRY,
        "odd_node": NO_HOSTS,
    },
)
