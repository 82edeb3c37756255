#!/usr/bin/env bash
# dateparser 1.5.0: a timestamp in ISO 8601's basic format with Z is read as an age in days, without an error.
# 20261130T101112Z is read as 101,112 days ago, in the year 1750; 20261130T000001Z as yesterday. Without the Z, or with
# the language named, it is refused (None). Cloud request logs write this form. A fraction of an epoch is dropped.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" dateparser==1.5.0
PYTHONPATH=$folder python3 -W ignore - <<'PY'
from datetime import datetime, timedelta
from importlib.metadata import version

import dateparser

now = datetime(2026, 11, 30, 12, 0, 0)
settings = {"RELATIVE_BASE": now}
print(f"dateparser {version('dateparser')}")
for text, days in (("20261130T101112Z", 101_112), ("20261130T000001Z", 1)):
    read = dateparser.parse(text, settings=settings)
    print(f"{text} is read as {read}")
    assert read == now - timedelta(days=days), read
for text, languages in (("20261130T101112", None), ("20261130T101112Z", ["en"])):
    read = dateparser.parse(text, languages=languages, settings=settings)
    print(f"{text} with languages={languages}: {read}")
    assert read is None
whole, half = dateparser.parse("1700000000"), dateparser.parse("1700000000.5")
print(f"1700000000.5 is read as {half}")
assert whole == half
PY
