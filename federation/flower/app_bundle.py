"""The application bundle of a run: a manifest only, because nodes run their installed package."""

import hashlib
import io
import zipfile

APPLICATION = b"""\
[project]
name = "driftline-round"
version = "1.0.0"
description = "A round of federated retraining; nodes run their installed package."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "driftline"

[tool.flwr.app.components]
serverapp = "federation.flower.server_app:app"
clientapp = "federation.flower.client_app:app"

[tool.flwr.app.config]
folder = ""
"""


def bundle() -> bytes:
    """The manifest, packed as Flower packs applications; the same bytes every time."""
    packed = io.BytesIO()
    manifest = f"pyproject.toml,{hashlib.sha256(APPLICATION).hexdigest()},{8 * len(APPLICATION)}"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in (("pyproject.toml", APPLICATION), (".info/CONTENT", manifest.encode())):
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()
