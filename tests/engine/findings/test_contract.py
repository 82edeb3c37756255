import pytest

from engine.findings.checks import CHECKS
from engine.findings.registry import DETECTORS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_keeps_every_promise(name, check):
    check(DETECTORS[name])


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_has_the_name_it_is_registered_under(name):
    assert DETECTORS[name](None).name == name
