#!/usr/bin/env bash
# pygrok 1.0.0: the pattern `IP` takes everything to the end of the line where an IPv6 address has a zone, as every
# link-local address in a log has: behind "%" it takes any characters, not those of an interface's name. The same line
# with another address gives the address alone. A name that is used twice keeps the second value only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" pygrok==1.0.0
PYTHONPATH=$folder python3 -W ignore - <<'PY'
from pygrok import Grok

pattern = Grok("client=%{IP:client}")
for address in ("2001:db8::1", "fe80::1", "fe80::1%eth0"):
    line = f'client={address}, server=a, request="GET /login"'
    found = pattern.match(line)
    print(f"{line}\n  client: {found['client']!r}")
    assert found["client"] == (line.removeprefix("client=") if "%" in address else address)
twice = Grok("%{IP:ip} -> %{IP:ip}").match("192.0.2.1 -> 192.0.2.2")
print(f"'192.0.2.1 -> 192.0.2.2' by '%{{IP:ip}} -> %{{IP:ip}}': {twice}")
assert twice == {"ip": "192.0.2.2"}
PY
