#!/usr/bin/env bash
# apprise 2.3.0: what stands in angle brackets disappears from a mail whose body was given as text, unless the caller
# names the format. The mail's default format is HTML, and a body without a format is taken for it: a log template
# "Connection from <IP> closed after <NUM> s" arrives as "Connection from  closed after  s" in the text part, and as
# unknown tags, which a mail program does not show, in the HTML part. The subject keeps its brackets.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" apprise==2.3.0 aiosmtpd==1.4.6
PYTHONPATH=$folder python3 -W ignore - <<'PY'
import email
import email.policy
import socket

import apprise
from aiosmtpd.controller import Controller

with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
mails = []


class Handler:
    async def handle_DATA(self, _server, _session, envelope):
        mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


controller = Controller(Handler(), hostname="127.0.0.1", port=port)
controller.start()
service = apprise.Apprise()
service.add(f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org&mode=insecure")
template = "Connection from <IP> closed after <NUM> s"
assert service.notify(title="New: <IP>", body=template)
assert service.notify(title="New: <IP>", body=template, body_format=apprise.NotifyFormat.TEXT)
controller.stop()
parts = [{p.get_content_type(): p.get_content().strip() for p in mail.walk() if not p.is_multipart()} for mail in mails]
print(f"apprise {apprise.__version__}, body {template!r}, subject {mails[0]['subject']!r}")
print(f"without a format: {parts[0]}")
print(f"with body_format=text: {parts[1]}")
assert parts[0]["text/plain"] == "Connection from  closed after  s"
assert "<IP>" in parts[0]["text/html"]  # not escaped: a tag
assert template in parts[1]["text/plain"]
PY
