"""The page of model settings, generated from the settings classes: `python -m engine.docs.model_settings`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.docs.settings_table import first_sentence, settings_table
from foundation.settings_errors import models_in
from models.classify.registry import CLASSIFIERS
from models.detectors.registry import DETECTORS
from models.thresholds.registry import RULES, rule_named
from models.training.model_registry import entry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model-settings.md"

HEAD = """\
# Model settings

`driftline train MODEL --set key=value` sets one setting; the option may be repeated. Values are read as JSON
(`--set kernels=[2,3]`), any other text as text. A nested key is part of its table:
`--set 'training={"epochs": 20}'`. From Python: `driftline.train(windows, "bert_cnn", settings={"filters": 64})`.

This page is generated from the settings by `python -m engine.docs.model_settings`; do not edit it.
"""

THRESHOLD_HEAD = """\
## Threshold rules

`--threshold RULE` chooses the rule, `--threshold-set key=value` sets one of its settings.

| rule | setting | default |
|---|---|---|
"""


def reference() -> str:
    """The whole page as Markdown."""
    detectors = _models("Window detectors", "detector", DETECTORS)
    classifiers = _models("Line classifiers", "line classifier", CLASSIFIERS)
    return "\n".join([HEAD, *detectors, *classifiers, _thresholds()])


def _models(title: str, kind: str, registry: Mapping[str, str]) -> Iterator[str]:
    yield f"## {title}\n"
    for name in registry:
        settings = entry(registry, kind, name).settings
        yield f"### {name}\n\n{first_sentence(settings)}\n"
        yield settings_table(settings)
        for key, field in settings.model_fields.items():
            for nested in models_in(field.annotation):
                yield f"#### `{key}` of {name}\n\n{first_sentence(nested)}\n"
                yield settings_table(nested)


def _thresholds() -> str:
    rows = []
    for name in RULES:
        settings: Mapping[str, float] = rule_named(name).__kwdefaults__ or {}
        rows += [f"| `{name}` | `{key}` | `{value}` |" for key, value in settings.items()] or [f"| `{name}` | | |"]
    return THRESHOLD_HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
