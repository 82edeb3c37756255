"""No regular expression of a user stops the worker, whatever text it meets; `re` would need centuries for each text."""

import pytest

from engine.formats.masks import Mask, Masker
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.template_settings import TemplateSettings
from engine.steps.alert import REDACTED, AlertSettings, redaction
from engine.steps.silences import SuppressionRule
from foundation import bounded_pattern
from models.classify.base import Lines
from models.classify.registry import build

ENDLESS = "(a|aa)+b"
HOSTILE = "a" * 2_000
MASK = Mask(pattern=ENDLESS, name="OWN")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(bounded_pattern, "LEAST_S", 0.01)
    monkeypatch.setattr(bounded_pattern, "BYTE_S", 0.0)


def test_a_mask_is_left_out(parser_of, batch_of):
    masker = Masker((MASK, Mask(pattern="[0-9]+", name="NUM")), own=(MASK,))
    assert masker.mask(f"{HOSTILE} 7") == f"{HOSTILE} <NUM>"
    assert masker.mask("aaab 7") == "<OWN> <NUM>"
    assert masker.values(f"{HOSTILE} 7") == [("NUM", "7")]
    parser = parser_of(ParseSettings(format="raw", templates=TemplateSettings(masks=(MASK,))))
    lines = ["x aab", f"x {HOSTILE}", f"\u00e9 {HOSTILE}", "y aaab"]
    parsed = parser.parse(batch_of([line.encode() for line in lines]))
    templates = [parsed.good.templates[i] for i in parsed.good.template.tolist()]
    assert templates == ["x <OWN>", "x <*>", f"\u00e9 {HOSTILE}", "y <OWN>"]


def test_a_line_has_no_session(parser_of, batch_of):
    parser = parser_of(ParseSettings(format="raw", session_key="(?P<key>(a|aa)+)b"))
    parsed = parser.parse(batch_of([b"x aab", HOSTILE.encode(), b"y ab"]))
    assert (parsed.good.key_end - parsed.good.key_start).tolist() == [2, 0, 1]


def test_a_text_is_redacted_as_a_whole():
    redact = redaction(AlertSettings(redact=("token=[0-9]+", ENDLESS)))
    assert redact("token=7 aab") == f"{REDACTED} {REDACTED}"
    assert redact(f"token=7 {HOSTILE}") == REDACTED


def test_a_silence_does_not_match():
    rule = SuppressionRule(name="r", template=ENDLESS)
    assert rule.matches(0.5, "", ["aab"])
    assert not rule.matches(0.5, "", [HOSTILE])
    by_session = SuppressionRule(name="r", session=ENDLESS)
    assert not by_session.matches(0.5, HOSTILE, [])


def test_a_rule_of_a_classifier_does_not_hold(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(f"[[rule]]\nname = 'own'\nclass = 'hardware_issue'\npattern = '{ENDLESS}'\nconfidence = 0.9\n")
    rules = build("rules", {"file": str(file)})
    judged = rules.judge(Lines.of(["aab", HOSTILE]))
    assert [found.rule for found in judged] == [0, None]
