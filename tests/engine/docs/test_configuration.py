from engine.docs.configuration import reference
from engine.settings import CoordinatorSettings, RegionSettings
from tests.support.paths import ROOT


def test_the_configuration_page_is_what_the_settings_say():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert page == reference(), "run `python -m engine.docs.configuration` and commit docs/configuration.md"


def test_every_section_and_every_description_is_there():
    page = reference()
    for name, field in [*RegionSettings.model_fields.items(), *CoordinatorSettings.model_fields.items()]:
        assert f"`{name}`" in page or f"[{name}]" in page
        assert field.description, f"{name} has no description"
    assert "None" not in page
    assert "PydanticUndefined" not in page
