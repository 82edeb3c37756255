"""The page of the REST API and its OpenAPI document, from the routes: `python -m engine.docs.api`."""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from connectors.sql_settings import SqlSettings
from engine.api.app import build_app, openapi_document
from engine.api.services import Services
from engine.api.settings import ServeSettings
from engine.docs.settings_table import settings_table
from foundation.settings_errors import models_in

DOCS = Path(__file__).resolve().parents[2] / "docs"

HEAD = """\
# REST API

`driftline serve serve.toml` (extra `serve`) answers at `http://127.0.0.1:8600`. At its first start it prints a link
with a one-time token. The console opens it; without the console, create the first administrator with the token:

```bash
curl -s -c cookies http://127.0.0.1:8600/api/v1/setup -H 'Content-Type: application/json' \\
  -d '{"token": "TOKEN", "name": "ann", "password": "at least 12 characters"}'
```

**Logging in.** `POST /api/v1/session` with `name` and `password` sets the cookie `driftline_session` and returns
`csrf_token`. Requests other than GET that send the cookie must repeat it in the header `X-CSRF-Token`. Programs send
`Authorization: Bearer TOKEN` instead, with a token from `POST /api/v1/tokens`, and need no CSRF token:

```bash
curl -s -b cookies http://127.0.0.1:8600/api/v1/tokens -H 'X-CSRF-Token: CSRF_TOKEN' \\
  -H 'Content-Type: application/json' -d '{"name": "dashboard", "role": "viewer", "days": 30}'
curl -s http://127.0.0.1:8600/api/v1/alerts -H 'Authorization: Bearer TOKEN'
```

**OpenID.** With `[oidc]` a browser that opens `/api/v1/oidc/login` logs in at the provider, by the authorisation code
flow with PKCE, and returns with the same cookie. Users of the provider have no password here; the name of a user
with a password is never given to one of them.

**Roles.** A viewer reads, an operator also answers and silences, an administrator also manages users. Only
`GET /health`, the login and the setup answer without a login. Wrong passwords lock an account for 30 s after the fifth
in a row, and twice as long after each further one.

**Errors** are problem documents (RFC 9457) of the type `application/problem+json`; `detail` is one sentence.

**Lists** are pages: pass `next_cursor` as `cursor` for the next one. `since` (included) and `until` (not included)
bound the time. Times are RFC 3339 in UTC.

**Streams** are server-sent events whose data is one JSON object. A client that reconnects sends `Last-Event-ID` and
gets what it missed, up to 10,000 alerts; alerts of the 30 s before may be sent again with the same `id`. A stream ends
after ten minutes.

**Jobs.** `POST /api/v1/jobs` trains or recalibrates a model in a process of its own, as `driftline train` and
`driftline models recalibrate` do, from an uploaded file or from the windows of the region's training store. The version
becomes the current one, with the id of the job on its card. One job runs at a time. It is killed beyond `limit_s` or
`memory_bytes`, and started again if the service is restarted. Uploaded data are deleted when the job has ended:

```bash
curl -s http://127.0.0.1:8600/api/v1/jobs -H 'Authorization: Bearer TOKEN' \\
  -F detector=xgboost -F data=@labelled.csv
```

**Changes of a group** can carry the `ETag` of the group as `If-Match`; the answer is 412 if another user changed it.

**Assistants** speak the Model Context Protocol: `driftline mcp serve.toml` on standard input and output, or
`http://127.0.0.1:8600/mcp` (streamable HTTP, extra `mcp`) with `Authorization: Bearer TOKEN`. All tools only read.

The document [openapi.json](openapi.json) describes every route. This page, the document and the schema of the settings
are generated from the code by `python -m engine.docs.api`; do not edit them.

## Routes

| route | role | purpose |
|---|---|---|
"""

SETTINGS = """
## Settings

The TOML file of `driftline serve`; its schema is [serve.schema.json](serve.schema.json). Every key has a default. The
environment sets keys as well: `DRIFTLINE_LISTEN__PORT`.

```toml
region = "eu-west.toml"

[listen]
port = 8600
```

### Top level
"""


def document() -> dict[str, Any]:
    """The OpenAPI document of the service."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ServeSettings(store=SqlSettings.model_validate({"url": f"sqlite:///{folder}/alerts.db"}))
        services = Services.from_settings(settings)
        try:
            return openapi_document(build_app(services))
        finally:
            services.database.close()


def document_text(found: Mapping[str, Any]) -> str:
    """The content of `docs/openapi.json`."""
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def reference(found: Mapping[str, Any]) -> str:
    """The whole page as Markdown."""
    return HEAD + "\n".join([*_routes(found), SETTINGS, *_settings()]) + "\n"


def settings_schema() -> str:
    """The content of `docs/serve.schema.json`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **ServeSettings.model_json_schema()}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _routes(found: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in sorted(found["paths"].items()):
        for method, operation in methods.items():
            purpose = " ".join(operation.get("description", "").split()).replace("|", "\\|")
            yield f"| `{method.upper()} {path}` | {operation.get('x-role', '-')} | {purpose} |"


def _settings() -> Iterator[str]:
    yield settings_table(ServeSettings, skip_sections=True)
    for name, field in ServeSettings.model_fields.items():
        for model in models_in(field.annotation):
            yield f"### `[{name}]`\n\n{field.description}\n"
            yield settings_table(model)


if __name__ == "__main__":
    made = document()
    for name, text in (
        ("api.md", reference(made)), ("openapi.json", document_text(made)), ("serve.schema.json", settings_schema()),
    ):  # fmt: skip
        (DOCS / name).write_text(text, "utf-8")
        sys.stdout.write(f"{DOCS / name}\n")
