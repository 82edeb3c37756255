#!/usr/bin/env bash
# pycef 1.11: an escaped pipe in the name of an event, as in the example of the CEF standard, moves its end. The name
# becomes empty, there is no severity, and the first field gets a name like "message|10|src". Nothing is raised and
# nothing is logged. Escapes in values stay as they are written, so that a URL has a backslash before every "=".
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" pycef==1.11
PYTHONPATH=$folder python3 - <<'PY'
import pycef

LINE = r"CEF:0|security|threatmanager|1.0|100|found a \| in message|10|src=192.0.2.1 request=https://h.example/p?id\=7"
found = pycef.parse(LINE)
print(f"pycef 1.11, {LINE}")
for name, value in found.items():
    print(f"  {name!r}: {value!r}")
assert found["Name"] == "" and "Severity" not in found and "src" not in found
assert any("|10|src" in name for name in found)
plain = pycef.parse(LINE.replace(r" \|", ""))
assert plain["Severity"] == "10" and plain["src"] == "192.0.2.1"
assert plain["request"] == r"https://h.example/p?id\=7"
PY
