"""The shipped nginx configuration, filled in for one coordinator."""

import re
from pathlib import Path

from federation.errors import SetupError

TEMPLATE = Path(__file__).with_name("nginx.conf")

MAX_BODY_MIB = 512
"""Largest array of a model that is federated, with room: the word embeddings of a BERT are 94 MB."""


def nginx_config(folder: Path, *, listen: str, port: int, max_body_mib: int = MAX_BODY_MIB) -> str:
    """The configuration of the proxy.

    Args:
        folder: Of the keys (`federation.flower.keys`); nginx also keeps its process id and its logs there.
        listen: [address:]port that nodes connect to.
        port: Of the SuperLink, on loopback.
        max_body_mib: Largest part of a message in MiB.

    Raises:
        SetupError: `listen` is no address, or the folder's path cannot stand in a configuration file.
    """
    if not re.fullmatch(r"([0-9a-zA-Z.-]+:|\[[0-9a-fA-F:]+\]:)?\d{1,5}", listen):
        raise SetupError(f"listen should be a port or address:port, got {listen!r}")
    path = str(folder.resolve())
    if not re.fullmatch(r"[\w./+@,=-]+", path):
        raise SetupError(f"nginx cannot use the folder {path!r}: choose one without spaces and quotes")
    values = {"folder": path, "keys": path, "listen": listen, "port": str(port), "max_body_mib": str(max_body_mib)}
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: values[match[1]], TEMPLATE.read_text())
