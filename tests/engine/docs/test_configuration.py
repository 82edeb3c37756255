import json
import tomllib

import pytest
from jsonschema import Draft202012Validator

from engine.docs.configuration import SCHEMAS, reference, schema
from engine.settings import CoordinatorSettings, RegionSettings
from tests.support.paths import DOCS
from tests.test_project import documents


def test_the_configuration_page_is_what_the_settings_say():
    page = (DOCS / "configuration.md").read_text("utf-8")
    assert page == reference(), "run `python -m engine.docs.configuration` and commit docs/configuration.md"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_what_the_settings_say(name):
    content = (DOCS / name).read_text("utf-8")
    assert content == schema(name), f"run `python -m engine.docs.configuration` and commit docs/{name}"


def test_every_section_and_every_description_is_there():
    page = reference()
    for name, field in [*RegionSettings.model_fields.items(), *CoordinatorSettings.model_fields.items()]:
        assert f"`{name}`" in page or f"[{name}]" in page
        assert field.description, f"{name} has no description"
    assert "None" not in page
    assert "PydanticUndefined" not in page


def test_the_schema_accepts_the_file_of_the_readme_and_rejects_a_misspelt_key():
    validator = Draft202012Validator(json.loads(schema("region.schema.json")))
    (text,) = [text for place, text in documents("toml") if place.startswith("README.md") and "[source]" in text]
    settings = tomllib.loads(text)
    validator.validate(settings)
    settings["recovery"]["snapshots_s"] = 3
    assert not validator.is_valid(settings)
