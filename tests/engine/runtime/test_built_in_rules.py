import pytest

from engine.clock import ManualClock
from engine.runtime.model_loading import classifier_follower, describe_classifier
from engine.settings import from_mapping
from engine.telemetry.telemetry import Telemetry, TelemetrySettings
from models.base import ModelStoreError


def settings(tmp_path, name):
    return from_mapping(
        {
            "region": "eu",
            "source": {"type": "memory"},
            "model": {"store": str(tmp_path)},
            "classify": {"name": name},
            "sinks": [{"type": "memory"}],
            "dead_letters": {"type": "memory"},
            "recovery": {"path": "r"},
        },
        "here",
    )


def test_rules_need_no_store(tmp_path):
    region = settings(tmp_path, "rules")
    clock = ManualClock(wall_ns=10**18)
    telemetry = Telemetry(TelemetrySettings(serve=False), clock, {}, "eu")
    following = classifier_follower(region.classify, region, telemetry)
    following.look()
    assert following.get().name == "rules"
    assert "come with the package" in describe_classifier(region)
    telemetry.close()


def test_another_classifier_has_to_be_in_the_store(tmp_path):
    with pytest.raises(ModelStoreError):
        describe_classifier(settings(tmp_path, "hybrid_bert"))
