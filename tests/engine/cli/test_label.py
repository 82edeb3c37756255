import csv

import orjson
import pytest

SSH = "Jun 14 15:16:01 combo sshd[{0}]: Failed password for invalid user u{0} from 10.0.0.7 port {0} ssh2"
QUIET = "Jun 14 15:16:02 combo widget[1]: quux {0}"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "app.log"
    path.write_text("\n".join([SSH.format(i) for i in range(30)] + [QUIET.format(i) for i in range(9)]) + "\n")
    return path


def test_records_get_the_class_of_a_rule_or_none(driftline, log, tmp_path):
    out = tmp_path / "out.csv"
    said = driftline("label", log, "-o", out, "--json").json()
    assert said == {
        "records": 39, "abstained": 9, "classes": {"security_anomaly": 30}, "rules": {"failed login": 30},
    }  # fmt: skip
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 39
    assert {(r["class"], r["confidence"], r["rule"]) for r in rows[:30]} == {
        ("security_anomaly", "0.95", "failed login")
    }
    assert {(r["class"], r["confidence"], r["rule"]) for r in rows[30:]} == {("", "", "")}


def test_own_rules_and_the_table(driftline, log, tmp_path):
    rules, out = tmp_path / "mine.toml", tmp_path / "out.jsonl"
    rules.write_text('[[rule]]\nname = "odd"\nclass = "config_error"\nany = ["quux"]\nconfidence = 0.7\n')
    ran = driftline("label", log, "-o", out, "--rules", rules)
    assert ran.code == 0, ran.err
    assert "39 records, 30 of them without a label" in ran.out
    assert "odd" in ran.out
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [r["class"] for r in rows] == [""] * 30 + ["config_error"] * 9
    assert (
        driftline("label", log, "-o", out, "--rules", rules, "--min-confidence", 0.8, "--json").json()["classes"] == {}
    )


def test_what_is_labelled_can_be_trained_on(driftline, log, tmp_path):
    rules, out = tmp_path / "mine.toml", tmp_path / "out.csv"
    rules.write_text(
        '[[rule]]\nname = "odd"\nclass = "config_error"\nany = ["quux"]\nconfidence = 0.7\n'
        '[[rule]]\nname = "login"\nclass = "security_anomaly"\nall = ["failed", "user"]\nconfidence = 0.9\n'
    )
    assert driftline("label", log, "-o", out, "--rules", rules).code == 0
    ran = driftline(
        "train", "random_forest", "--data", out, "--store", tmp_path / "s", "--runs", tmp_path / "r", "--json",
        "--set", "encoder=hashing:16", "--set", "trees=4", "--set", "candidates=0",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.json()["data"]["security_anomaly"] == 30
    found = driftline("classify", log, "--model", "random_forest", "--store", tmp_path / "s", "--json").json()
    assert found["classes"]["config_error"] == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "out.txt"], "labels are written as csv or jsonl"),
        (["-o", "out.csv", "--rules", "absent.toml"], "the rule file absent.toml cannot be read"),
        (["-o", "out.csv", "--format", "odd"], "odd"),
    ],
)
def test_what_is_wrong_is_told(driftline, log, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    ran = driftline("label", log, *arguments)
    assert ran.code == 2
    assert words in " ".join(ran.err.replace("\u2502", " ").split())
    assert not (tmp_path / "out.csv").exists()
