import pytest

from engine.docs.model_settings import PAGE, reference
from models.classify.registry import CLASSIFIERS
from models.detectors.registry import DETECTORS
from models.thresholds.registry import RULES, rule_named
from models.training.model_registry import entry

MODELS = [(DETECTORS, "detector", name) for name in DETECTORS] + [(CLASSIFIERS, "classifier", n) for n in CLASSIFIERS]


def test_the_page_of_model_settings_is_what_the_settings_say():
    page = PAGE.read_text("utf-8")
    assert page == reference(), "run `python -m engine.docs.model_settings` and commit docs/model-settings.md"
    assert "None" not in page
    assert "PydanticUndefined" not in page


@pytest.mark.parametrize(
    ("registry", "kind", "name"), MODELS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_setting_of_a_model_is_described(registry, kind, name):
    section = PAGE.read_text("utf-8").partition(f"### {name}\n")[2].partition("\n### ")[0]
    for key, field in entry(registry, kind, name).settings.model_fields.items():
        assert f"| `{key}` |" in section
        assert field.description, f"{name}.{key} has no description"


@pytest.mark.parametrize("rule", RULES)
def test_every_setting_of_a_threshold_rule_is_listed(rule):
    page = PAGE.read_text("utf-8")
    assert f"| `{rule}` |" in page
    for key in rule_named(rule).__kwdefaults__ or {}:
        assert f"| `{rule}` | `{key}` |" in page
