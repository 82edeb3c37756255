import re
from pathlib import Path

import numpy as np
import pytest

from models.base import ModelSettingsError, ModelStoreError
from models.classify.base import CLASSES, Lines
from models.classify.registry import build
from models.classify.rules import Rules, RulesSettings, read_rules

FILE = """
[[rule]]
name = "leak"
class = "hardware_issue"
any = ["coolant leak*", "drip"]
none = ["simulated"]
confidence = 0.8

[[rule]]
name = "leak at night"
class = "security_anomaly"
all = ["leak", "night"]
levels = ["error"]
components = ["Cooling"]
confidence = 0.9

[[rule]]
name = "numbered"
class = "config_error"
pattern = 'E\\d{3}'
confidence = 0.3
"""


EVERYDAY = [
    [field.strip() for field in line.split(" | ")]
    for name in ("everyday.txt", "services.txt")
    for line in Path(__file__).with_name(name).read_text("utf-8").splitlines()
    if not line.startswith("#")
]
LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


@pytest.fixture
def rules(tmp_path) -> Rules:
    file = tmp_path / "mine.toml"
    file.write_text(FILE)
    return Rules(RulesSettings(file=str(file)))


def kind(rules, message, level="", component=""):
    lines = Lines.of([message], levels=[level], components=[component])
    return CLASSES[rules.probabilities(lines).argmax()], rules.judge(lines)[0]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("coolant LEAKING in rack 3", "hardware_issue"),
        ("a drip was heard", "hardware_issue"),
        ("dripping is no word of the rule", "normal"),
        ("simulated coolant leak", "normal"),
        ("E042 is below the least confidence", "normal"),
    ],
)
def test_conditions(rules, message, expected):
    assert kind(rules, message)[0] == expected


@pytest.mark.parametrize("fields", EVERYDAY, ids=lambda fields: fields[-1][:50])
def test_the_rules_of_the_package_know_what_common_software_writes(fields):
    expected, *level, message = fields
    assert set(level) <= set(LEVELS), "the one field between class and message is the level"
    assert kind(build("rules", {}, cache=Path()), message, *level)[0] == expected


def test_the_surest_rule_decides_and_is_the_reason(rules):
    assert kind(rules, "coolant leak at night", "error", "cooling/pump")[0] == "security_anomaly"
    for level, component in (("warn", "cooling"), ("error", "heating")):
        assert kind(rules, "coolant leak at night", level, component)[0] == "hardware_issue"
    reasons = rules.explain(Lines.of(["coolant leaks"]))[0]
    assert [r.what for r in reasons] == ["rule 'leak'", "word 'coolant leaks'"]


def test_abstention(rules):
    judged = rules.judge(Lines.of(["nothing to see", "E042"]))
    assert [j.rule for j in judged] == [None, None]
    assert rules.confidences(judged).tolist() == pytest.approx([0.6, 0.6])
    assert rules.explain(Lines.of(["nothing to see"]))[0][0].what == "no rule holds"


def test_training_measures_confidence(rules):
    lines = Lines.of([f"coolant leak {i}" for i in range(90)] + ["all well"])
    labels = np.array([CLASSES.index("hardware_issue")] * 30 + [0] * 61)
    before = rules.probabilities(lines)[0].max()
    rules.fit(lines, labels)
    after = rules.probabilities(lines)[0]
    assert before == pytest.approx(0.8)
    assert after.argmax() == CLASSES.index("hardware_issue")
    assert after.max() == pytest.approx(0.5)
    assert [j.rule for j in rules.judge(lines.take(np.array([0])))] == [0]


def test_a_stored_version_needs_no_rule_file(rules):
    other = build("rules", rules.settings())
    other.load_weights(rules.weights(), rules.extra())
    assert kind(other, "coolant leak")[0] == "hardware_issue"
    with pytest.raises(ModelStoreError, match="expected float32"):
        build("rules").load_weights(rules.weights(), {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rule = 3", "consists of [[rule]] tables"),
        ("[[rule]", "mine.toml: "),
        (
            FILE + "[[rule]]\nname='x'\nclass='odd'\nany=['a']\nconfidence=0.5",
            "rule 4 'x': class: 'odd' is not a class",
        ),
        (FILE + "[[rule]]\nname='x'\nclass='normal'\nconfidence=0.5", "rule 4 'x': a rule needs one of any"),
        (FILE + "[[rule]]\nname='x'\nclass='normal'\npattern='('\nconfidence=0.5", "pattern: '(' is not a regular"),
        (FILE + "[[rule]]\nname='x'\nclass='normal'\nany=['a']\nconfidence=2", "confidence: Input should be less"),
        (FILE + "[[rule]]\nname='x'\nclass='normal'\nwords=['a']\nconfidence=0.5", "words: Extra inputs"),
    ],
)
def test_what_is_wrong_in_a_rule_file_is_told(text, words):
    with pytest.raises(ModelSettingsError, match=re.escape(words)):
        read_rules(text, "mine.toml")


def test_a_missing_rule_file_is_told():
    with pytest.raises(ModelSettingsError, match=r"the rule file absent\.toml cannot be read"):
        build("rules", {"file": "absent.toml"})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Failed password for root from <IP> port <NUM> ssh2", "security_anomaly"),
        ("Accepted password for root from <IP>", "normal"),
        ("kernel: EDAC MC0: <NUM> uncorrectable error on DIMM", "hardware_issue"),
        ("upstream timed out after <NUM> seconds", "performance_issue"),
        ("dial tcp <IP>: connection refused", "network_anomaly"),
        ("nginx: [emerg] unknown option in line <NUM>", "config_error"),
        ("Kernel panic - not syncing", "system_failure"),
    ],
)
def test_the_rules_of_the_package(message, expected):
    assert kind(build("rules"), message)[0] == expected
