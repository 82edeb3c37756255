#!/usr/bin/env bash
# jc 1.26.1 and syslog-rfc5424-parser 0.3.2: RFC 5424 lets a parameter of structured data come several times, and its
# registered element `origin` does so for a host of several addresses. Both parsers keep the last one and drop the others
# without a word. jc ends a value at its first escaped quote, and the other leaves the backslashes in. jc's `timestamp_epoch` ignores an offset
# that the time is written with (+05:30 gives the same number as none), and is null for a time in UTC without a fraction.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" jc==1.26.1 syslog-rfc5424-parser==0.3.2
PYTHONPATH=$folder TZ=UTC python3 -W ignore - <<'PY'
import jc
from syslog_rfc5424_parser import SyslogMessage

LINE = r'<34>1 %s host app 7 id [origin ip="192.0.2.1" ip="192.0.2.129" software="a \"b\" c"] started'


def epoch(time):
    return jc.parse("syslog", LINE % time)[0]["timestamp_epoch"]


line = LINE % "2026-11-30T10:00:00.123+05:30"
by_jc = jc.parse("syslog", line)[0]["structured_data"][0]["parameters"]
by_other = SyslogMessage.parse(line).as_dict()["sd"]["origin"]
print(line)
print(f"jc: {by_jc}")
print(f"syslog-rfc5424-parser: {by_other}")
assert by_jc["ip"] == by_other["ip"] == "192.0.2.129"
assert by_jc["software"] == "a " and by_other["software"] == r'a \"b\" c'
for time in ("2026-11-30T10:00:00.123+05:30", "2026-11-30T10:00:00.123Z", "2026-11-30T10:00:00Z"):
    print(f"jc's timestamp_epoch of {time}: {epoch(time)}")
assert epoch("2026-11-30T10:00:00.123+05:30") == epoch("2026-11-30T10:00:00.123Z")
assert epoch("2026-11-30T10:00:00Z") is None
PY
