"""The configuration page and its JSON Schemas, generated from the settings: `python -m engine.docs.configuration`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_origin

from pydantic import BaseModel

from connectors.forwarder import ForwardSettings
from engine.docs.settings_table import first_sentence, settings_table
from engine.settings import CoordinatorSettings, RegionSettings
from foundation.settings_errors import models_in, tag_of

DOCS = Path(__file__).resolve().parents[2] / "docs"

SCHEMAS: Mapping[str, type[BaseModel]] = {
    "region.schema.json": RegionSettings,
    "coordinator.schema.json": CoordinatorSettings,
    "forward.schema.json": ForwardSettings,
}
"""JSON Schemas of the TOML files, for editors."""

HEAD = """\
# Configuration

Each region has one TOML file, which `driftline check region.toml` checks. The environment can set every key:
`DRIFTLINE_<SECTION>__<KEY>`, such as `DRIFTLINE_SOURCE__SASL_PASSWORD`. It overrides the file, and secrets belong
there. Unknown keys are errors. Relative paths start at the folder in which the command is started.

Editors that read JSON Schemas for TOML complete and check keys if the first line of the file names the schema:
`#:schema docs/region.schema.json`, or `docs/coordinator.schema.json` for the coordinator.

This page and the schemas are generated from the settings by `python -m engine.docs.configuration`; do not edit them.
"""


COORDINATOR = """\
# Configuration of the coordinator

The TOML file for `driftline federate coordinator`. The same rules apply.
"""

FORWARD = """\
# Configuration of driftline forward

The TOML file for `driftline forward --settings`. The same rules apply. In it, `files.follow` is `true` by default, and
`max_bytes` takes the place of `files.max_line_bytes`.
"""


def reference() -> str:
    """The whole page as Markdown."""
    parts = ((HEAD, RegionSettings), (COORDINATOR, CoordinatorSettings), (FORWARD, ForwardSettings))
    return "\n".join(text for head, settings in parts for text in (head, *_page(settings)))


def _page(settings: type[BaseModel]) -> Iterator[str]:
    yield "## Top level\n"
    yield settings_table(settings, skip_sections=True)
    for name, field in settings.model_fields.items():
        found = models_in(field.annotation)
        if not found:
            continue
        heading = f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]"
        yield f"## `{heading}`\n\n{field.description}\n"
        reference_above = "" if settings is RegionSettings and name in _SHARED else _keys_above(found)
        if reference_above:
            yield reference_above
            continue
        for model in found:
            yield from _section(name, model)


_SHARED = ("source", "sinks", "dead_letters", "telemetry", "log")
"""Sections whose settings other sections share; they are listed once."""


def _keys_above(models: list[type[BaseModel]]) -> str:
    """A reference to the section that lists the keys already, "" if no section does."""
    for name in _SHARED:
        if models == models_in(RegionSettings.model_fields[name].annotation):
            return f"The keys are those of `[{name}]` above.\n"
    return ""


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    tag = tag_of(model)
    if tag is not None and tag[1] != "PydanticUndefined":
        yield f'### `{name}` with `{tag[0]} = "{tag[1]}"`\n'
        yield f"{first_sentence(model)}\n"
    yield settings_table(model)
    for key, field in model.model_fields.items():
        nested_models = models_in(field.annotation)
        if reference_above := _keys_above(nested_models) if nested_models else "":
            yield f"#### `{name}.{key}`\n\n{reference_above}"
            continue
        for nested in nested_models:
            yield f"#### `{name}.{key}`\n"
            yield f"{first_sentence(nested)}\n"
            yield settings_table(nested)


def schema(name: str) -> str:
    """The content of a schema in `SCHEMAS`."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[name].model_json_schema()}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (DOCS / "configuration.md").write_text(reference(), "utf-8")
    for name in SCHEMAS:
        (DOCS / name).write_text(schema(name), "utf-8")
