"""The nginx configuration of a coordinator, made from the shipped template."""

import re
from pathlib import Path

from federation.errors import SetupError

TEMPLATE = Path(__file__).with_name("nginx.conf")

MAX_BODY_MIB = 512
"""Largest message part; the largest array that is federated, the word embeddings of a BERT, has 94 MB."""


def nginx_config(folder: Path, *, listen: str, port: int, max_body_mib: int = MAX_BODY_MIB) -> str:
    """The configuration of the proxy.

    Args:
        folder: Folder of the keys (`federation.flower.keys`), also for nginx's process id and logs.
        listen: [address:]port that nodes connect to.
        port: Port of the SuperLink on loopback.
        max_body_mib: Largest part of a message in MiB.

    Raises:
        SetupError: `listen` is not an address, or the folder's path has characters that nginx does not accept.
    """
    if not re.fullmatch(r"([0-9a-zA-Z.-]+:|\[[0-9a-fA-F:]+\]:)?\d{1,5}", listen):
        raise SetupError(f"listen should be a port or address:port, got {listen!r}")
    path = str(folder.resolve())
    if not re.fullmatch(r"[\w./+@,=-]+", path):
        raise SetupError(f"nginx cannot use the folder {path!r}: choose one without spaces and quotes")
    values = {"folder": path, "keys": path, "listen": listen, "port": str(port), "max_body_mib": str(max_body_mib)}
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: values[match[1]], TEMPLATE.read_text())
