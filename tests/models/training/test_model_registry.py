import pytest

from models.base import ModelSettingsError
from models.detectors.registry import DETECTORS, build
from models.training.model_registry import entry


@pytest.mark.parametrize("name", DETECTORS)
def test_every_line_names_a_model_of_that_name(name: str) -> None:
    found = entry(DETECTORS, "detector", name)
    assert found.model.name == name
    assert found.settings.model_config["extra"] == "forbid"


def test_a_version_stored_with_a_removed_setting_still_loads() -> None:
    detector = build("bert_cnn", {"encoder": "hashing:32", "focal_gamma": 0.0, "class_weight": "none"}, device="cpu")
    assert "focal_gamma" not in detector.settings()


def test_a_removed_setting_with_another_value_is_refused() -> None:
    with pytest.raises(ModelSettingsError, match="focal_gamma"):
        build("bert_cnn", {"encoder": "hashing:32", "focal_gamma": 2.0}, device="cpu")
