"""Whatever a user can name is documented."""

from pathlib import Path

import pytest

from models.registry import DETECTORS
from models.thresholds import THRESHOLDS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_is_a_row_of_the_readme(name):
    assert f"\n| `{name}` | " in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", THRESHOLDS)
def test_every_threshold_is_a_row_of_the_page_on_evaluation(name):
    assert f"\n| `{name}` | " in (ROOT / "docs" / "evaluation.md").read_text("utf-8")
