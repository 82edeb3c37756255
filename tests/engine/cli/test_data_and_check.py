import pytest

REGION = """\
region = "eu"
[source]
type = "file"
paths = ["{log}"]
[parse]
format = "hdfs"
[window]
kind = "session"
[model]
store = "{store}"
[[sinks]]
type = "jsonl"
path = "{folder}/alerts.jsonl"
[dead_letters]
type = "jsonl"
path = "{folder}/dead.jsonl"
[recovery]
path = "{folder}/state"
[telemetry]
port = 0
"""


@pytest.fixture
def region(place, tmp_path):
    path = tmp_path / "eu.toml"
    path.write_text(REGION.format(log=place.log, store=place.store, folder=tmp_path))
    return path


def test_check_tells_each_part(driftline, region):
    ran = driftline("check", region, "--json")
    assert ran.code == 0, ran.out
    assert ran.json()["ok"] is True
    table = driftline("check", region)
    assert table.code == 0
    assert "model" in table.out


def test_check_fails_where_a_part_does(driftline, region, tmp_path):
    region.write_text(
        region.read_text().replace('name = "bert_cnn"', "").replace("[model]", '[model]\nname = "nobody"')
    )
    ran = driftline("check", region, "--json")
    assert ran.code == 2
    failed = [f for f in ran.json()["findings"] if not f["ok"]]
    assert [f["name"] for f in failed] == ["model"]
    assert "nobody" in failed[0]["detail"]


def test_a_region_with_a_key_that_is_not_known(driftline, region):
    region.write_text(region.read_text() + '\n[log]\ncolour = "red"\n')
    ran = driftline("check", region)
    assert ran.code == 2
    assert "colour" in ran.err
    assert "Traceback" not in ran.err


def test_training_takes_store_and_cutting_from_the_region(driftline, place, region, tmp_path):
    ran = driftline("evaluate", *place.data, "--region", region, "--after", 0.5, "--json")
    assert ran.code == 0, ran.err
    assert ran.json()["model"] == "bert_cnn"


def test_data_is_listed_and_found(driftline, tmp_path, monkeypatch):
    rows = driftline("data", "list", "--json").json()
    names = [row["name"] for row in rows]
    assert "hdfs-2pct" in names
    assert all(row["licence"] for row in rows)
    assert "hdfs-2pct" in driftline("data", "list").out
    monkeypatch.setenv("DRIFTLINE_DATA_DIR", str(tmp_path))
    (tmp_path / "hdfs").mkdir()
    for name in ("HDFS_2pct.log.xz", "HDFS_2pct_labels.csv"):
        (tmp_path / "hdfs" / name).write_bytes(b"")
    found = driftline("data", "path", "hdfs-2pct")
    assert found.code == 0, found.err
    assert "HDFS_2pct.log.xz" in found.out


def test_data_that_is_not_here_or_not_known(driftline):
    missing = driftline("data", "path", "hdfs-2pct")
    assert missing.code == 2
    assert "hdfs-2pct" in missing.err
    unknown = driftline("data", "get", "weather")
    assert unknown.code == 2
    assert "weather" in unknown.err
    assert "Traceback" not in unknown.err
