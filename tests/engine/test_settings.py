import os
import pickle
import re

import pytest

from engine.settings import RegionSettings, SettingsFileError, from_mapping, load, load_coordinator
from foundation.settings_errors import models_in, tag_of
from tests.support.parsing import feed, new_parser

GOOD = """
region = "eu-west"
[source]
type = "file"
paths = ["logs/*.log"]
[parse]
format = "hdfs"
[window]
kind = "session"
[model]
store = "models"
[[sinks]]
type = "jsonl"
path = "alerts.jsonl"
[dead_letters]
type = "jsonl"
path = "dead.jsonl"
[recovery]
path = "recovery"
"""

SQL = '[[sinks]]\ntype = "sql"\nurl = "postgresql+psycopg://ann:hunter2hunter2@db/alerts"\n'


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in os.environ:
        if name.startswith("DRIFTLINE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path):
    """Writes a region's file: the good one with replacements, each of which has to match."""

    def write(*replacements, content=GOOD):
        for old, new in replacements:
            assert old in content
            content = content.replace(old, new, 1)
        path = tmp_path / "region.toml"
        path.write_text(content, "utf-8")
        return path

    return write


@pytest.fixture
def refusal(file):
    """The message with which a changed file is refused, without the file's name before each line."""

    def say(*replacements, content=GOOD):
        path = file(*replacements, content=content)
        with pytest.raises(SettingsFileError) as error:
            load(path)
        return [line.removeprefix(f"{path}: ") for line in str(error.value).splitlines()]

    return say


def test_a_short_file_is_enough(file):
    settings = load(file())
    assert (settings.region, settings.route, settings.shards) == ("eu-west", "partition", 1)
    assert settings.source.type == "file"
    assert settings.window.kind == "session"
    assert [sink.type for sink in settings.sinks] == ["jsonl"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ('kind = "session"', 'kind = "session"\ngap = 3'),
            r"window.gap: unknown key .did you mean gap_s\?.; known keys are .*gap_s.*",
        ),
        (('region = "eu-west"', 'region = "e"\nbanana = 1'), r"banana: unknown key; known keys are alert, .*window"),
        (
            ('store = "models"', 'store = "m"\nnmae = "x"'),
            r"model.nmae: unknown key .did you mean name\?.; known keys are device, max_weights_bytes, name, .*",
        ),
        (
            ('type = "jsonl"\npath = "alerts.jsonl"', 'type = "sql"\nschema = "Ops"'),
            r"sinks.0.schema: .*should match pattern.*, got 'Ops'",
        ),
        (
            ('path = "alerts.jsonl"', 'path = "a"\npth = 1'),
            r"sinks.0.pth: unknown key .did you mean path\?.; .* path, rotate_bytes, rotate_hours, shape, type",
        ),
        (
            ('kind = "session"', 'kind = "session"\ngap_s = "soon"'),
            r"window.gap_s: should be a number.*, got 'soon'",
        ),
        (
            ('kind = "session"', 'kind = "session"\nmax_length = 0'),
            r"window.max_length: .*greater than or equal to 1, got 0",
        ),
        (
            ('kind = "session"', 'kind = "sesion"'),
            r"window.kind: should be one of session, sliding, time, got 'sesion'",
        ),
        (('kind = "session"', ""), r"window.kind: missing; it has to be one of session, sliding, time"),
        (('type = "file"', 'type = "kafak"'), r"source.type: should be one of file, stdin, kafka, memory, got 'kafak'"),
        (
            ('[[sinks]]\ntype = "jsonl"', '[[sinks]]\ntype = "x"'),
            r"sinks.0.type: should be one of kafka, sql, jsonl.*'x'",
        ),
        (("[[sinks]]", "[sinks]"), r"sinks: should be a list; write \[\[sinks\]\] in place of \[sinks\]"),
        (
            ('format = "hdfs"', 'format = "hdsf"'),
            r"parse.format: unknown format 'hdsf' .did you mean hdfs\?.; known are otlp, hdfs, .*",
        ),
        (('path = "recovery"', ""), r"recovery.path: missing; it has to be set"),
        (('region = "eu-west"', 'region = "eu west"'), r"region: .*should match pattern .*, got 'eu west'"),
        (('region = "eu-west"', 'region = "e"\nshards = 3'), r"settings: shards = 3 needs route = \"session\".*"),
        (("[recovery]", '[alert]\nredact = ["("]\n[recovery]'), r"alert.redact: '\(' is not a regular expression.*"),
        (
            ("[recovery]", '[[decide.suppress]]\nname = "x"\n[recovery]'),
            r"decide.suppress.0: suppression rule 'x' has no condition; give .*, reason or ends",
        ),
        (
            ("[recovery]", '[[decide.suppress]]\nname = "x"\nfoo = 1\n[recovery]'),
            r"decide.suppress.0.foo: unknown key; known keys are comment, ends, .*, template",
        ),
        (
            ('kind = "session"', 'kind = "session"\ngrowth = {first = 3, faktor = 2}'),
            r"window.growth.faktor: unknown key .did you mean factor\?.; known keys are factor, first",
        ),
        (
            ("[recovery]", '[log]\nlevel = "LOUD"\n[recovery]'),
            r"log.level: should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', got 'LOUD'",
        ),
    ],
)
def test_a_fault_gives_one_sentence_with_key_value_and_what_is_accepted(refusal, change, sentence):
    (line,) = refusal(change)
    assert re.fullmatch(sentence, line), line


def test_windows_of_a_whole_source_cannot_be_routed_by_session(refusal, file):
    routed = ('region = "eu-west"', 'region = "e"\nroute = "session"')
    for kind in ("sliding", "time"):
        (line,) = refusal(routed, ('kind = "session"', f'kind = "{kind}"'))
        assert line.startswith('settings: route = "session" gives a shard the lines of its sessions only')
        load(file(routed, ('kind = "session"', f'kind = "{kind}"\nper = "session"')))


def test_every_fault_is_told_at_once(refusal):
    lines = refusal(('kind = "session"', 'kind = "session"\ngap = 3'), ("store", "stroe"))
    assert [line.partition(":")[0] for line in lines] == ["window.gap", "model.store", "model.stroe"]


def test_each_line_names_the_file(file):
    path = file(("store", "stroe"))
    with pytest.raises(SettingsFileError) as error:
        load(path)
    assert all(line.startswith(f"{path}: model.") for line in str(error.value).splitlines())


def test_a_missing_file_is_a_clear_sentence(tmp_path):
    with pytest.raises(SettingsFileError, match=r"nowhere\.toml: no such file; give the path of a region's TOML file"):
        load(tmp_path / "nowhere.toml")


def test_a_folder_is_a_clear_sentence(tmp_path):
    with pytest.raises(SettingsFileError, match="cannot be read"):
        load(tmp_path)


def test_what_is_no_toml_names_the_place(refusal):
    assert refusal(content="region = [")[0].startswith("not valid TOML: ")


def test_what_is_no_text_is_a_clear_sentence(tmp_path):
    path = tmp_path / "region.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsFileError, match=r"region\.toml: cannot be read"):
        load(path)


# --- environment ---------------------------------------------------------------------------------


def test_the_environment_wins_over_the_file(file, monkeypatch):
    monkeypatch.setenv("DRIFTLINE_MODEL__POLL_S", "7.5")
    monkeypatch.setenv("DRIFTLINE_SOURCE__FOLLOW", "true")
    monkeypatch.setenv("DRIFTLINE_REGION", "us-east")
    settings = load(file())
    assert (settings.model.poll_s, settings.model.store) == (7.5, "models")
    assert (settings.source.follow, settings.source.paths) == (True, ("logs/*.log",))
    assert settings.region == "us-east"


def test_one_key_of_one_sink_can_come_from_the_environment(file, monkeypatch):
    monkeypatch.setenv("DRIFTLINE_SINKS__1__URL", "sqlite:///secret.db")
    settings = load(file(("[dead_letters]", '[[sinks]]\ntype = "sql"\n[dead_letters]')))
    assert settings.sinks[0].path == "alerts.jsonl"
    assert settings.sinks[1].url.get_secret_value() == "sqlite:///secret.db"


def test_a_sink_that_the_file_lacks_is_refused(refusal, monkeypatch):
    monkeypatch.setenv("DRIFTLINE_SINKS__3__PATH", "x")
    assert refusal() == ["environment: DRIFTLINE_SINKS__3: no such sink; the file has 1, numbered from 0"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DRIFTLINE_MODEL__POLL_S", "x", "model.poll_s: should be a number"),
        (
            "DRIFTLINE_MODEL__FOO",
            "1",
            "model.foo: unknown key; known keys are device, max_weights_bytes, name, poll_s, shadow_factor, "
            "shadow_margin, shadow_windows, store",
        ),
        (
            "DRIFTLINE_SINKS__0__FOO",
            "1",
            "sinks.0.foo: unknown key; known keys are keep_days, keep_files, path, rotate_bytes, rotate_hours, "
            "shape, type",
        ),
    ],
)
def test_a_fault_of_a_variable_names_the_variable(refusal, monkeypatch, name, value, sentence):
    monkeypatch.setenv(name, value)
    (line,) = refusal()
    assert line.startswith(f"environment variable {name}: {sentence}")


def test_other_variables_of_the_name_are_no_settings(file, monkeypatch):
    settings = load(file())
    monkeypatch.setenv("DRIFTLINE_DATA_DIR", "/data")
    monkeypatch.setenv("DRIFTLINE_SUPERVISED", "1")
    assert load(file()) == settings


# --- secrets -------------------------------------------------------------------------------------


def test_secrets_are_known_so_that_logs_can_mask_them_and_are_not_shown(file):
    settings = load(file(("[dead_letters]", SQL + "[dead_letters]")))
    assert "postgresql+psycopg://ann:hunter2hunter2@db/alerts" in settings.secrets()
    assert "hunter2" not in repr(settings) + settings.model_dump_json() + settings.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        ('region = "eu-west"', 'region = "e"\nshards = 3'),  # a fault of the whole
        ('type = "sql"', 'type = "sqll"'),  # a fault of the sink
        ('url = "postgresql', 'ulr = "postgresql'),  # a key nobody knows
        ('"postgresql+psycopg://ann:hunter2hunter2@db/alerts"', '["hunter2hunter2"]'),  # a fault of the secret
        ('"postgresql+psycopg://ann:hunter2hunter2@db/alerts"', "{x = 'hunter2hunter2'}"),
    ],
)
def test_no_fault_shows_a_secret(refusal, change):
    content = GOOD.replace("[dead_letters]", SQL + "[dead_letters]")
    lines = refusal(change, content=content)
    assert lines
    assert "hunter2" not in "\n".join(lines)


# --- what recovery depends on --------------------------------------------------------------------


def test_the_fingerprint_covers_what_state_depends_on_and_nothing_else(file):
    base = load(file()).fingerprint()
    for change in (
        ('paths = ["logs/*.log"]', 'paths = ["other"]'),
        ('format = "hdfs"', 'format = "raw"'),
        ('kind = "session"', 'kind = "session"\ngap_s = 5'),
        ('format = "hdfs"', 'format = "hdfs"\ntemplates = { max_templates = 9 }'),
    ):
        assert load(file(change)).fingerprint() != base, change
    for change in (
        ('path = "alerts.jsonl"', 'path = "elsewhere"'),
        ('store = "models"', 'store = "m2"'),
        ('region = "eu-west"', 'region = "eu-west"\ndrain_s = 3'),
        ('kind = "session"', 'kind = "session"\nmax_open = 5\nidle_s = 9\npartition_idle_s = 9\nmax_ahead_s = 9'),
        ('format = "hdfs"', 'format = "hdfs"\nmax_shapes = 9\nmax_future_s = 9\nearliest = 2000-01-01'),
        ('format = "hdfs"', 'format = "hdfs"\nmax_message_bytes = 99\nmax_join_lines = 9\nmax_join_bytes = 9'),
    ):
        assert load(file(change)).fingerprint() == base, change


def test_state_made_under_other_limits_can_be_used(file):
    limits = "max_shapes = 9\nmax_future_s = 9\nmax_message_bytes = 99\nmax_join_lines = 9\nmax_join_bytes = 9"
    before, after = load(file()), load(file(('format = "hdfs"', f'format = "hdfs"\n{limits}')))
    parser = new_parser(before.parse)
    feed(parser, [b"081109 203530 147 INFO dfs.DataNode$DataXceiver: Receiving block blk_4394112519745907149"])
    saved = parser.snapshot()
    assert b"Receiving block" in saved
    assert new_parser(after.parse, saved).snapshot() == saved


def test_the_topic_is_part_of_the_fingerprint():
    content = {
        "region": "e", "parse": {"format": "hdfs"}, "window": {"kind": "session"}, "model": {"store": "m"},
        "sinks": [{"type": "memory"}], "dead_letters": {"type": "memory"}, "recovery": {"path": "r"},
    }  # fmt: skip
    prints = set()
    for topic in ("a", "b", "c"):
        source = {"type": "kafka", "brokers": "h:9092", "topic": topic}
        prints.add(from_mapping({**content, "source": source}, "here").fingerprint())
    assert len(prints) == 3


# --- shape ---------------------------------------------------------------------------------------


def test_settings_do_not_change(file):
    settings = load(file())
    with pytest.raises(ValueError, match="frozen"):
        settings.region = "x"


def test_every_setting_is_described():
    def undescribed(model, path):
        for name, field in model.model_fields.items():
            if not field.description and name not in ("type", "kind"):
                yield f"{path}.{name}"
        for name in model.model_fields:
            for nested in models_in(model.model_fields[name].annotation):
                yield from undescribed(nested, f"{path}.{name}")

    assert list(undescribed(RegionSettings, "region")) == []


def test_the_variants_of_a_section_are_those_that_a_file_may_name():
    def variants(section):
        models = models_in(RegionSettings.model_fields[section].annotation)
        return [tag[1] for model in models if (tag := tag_of(model))]

    assert variants("window") == ["session", "sliding", "time"]
    assert set(variants("sinks")) == set(variants("dead_letters"))
    assert variants("model") == []


def test_settings_travel_to_other_processes(file):
    settings = load(file())
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_the_coordinators_folders_are_named_from_the_current_one(file, tmp_path, monkeypatch):
    content = GOOD.split("[parse]")[0].replace("region", "# region").replace("[source]", "[events]")
    content = f'store = "models"\nfolder = "coordinator"\n{content}[superlink]\nfolder = "link"\n'
    content += '[dead_letters]\ntype = "jsonl"\npath = "dead_letters.jsonl"\n'
    path = file(content=content)
    monkeypatch.chdir(tmp_path)
    settings = load_coordinator(path)
    monkeypatch.chdir("/")
    assert (settings.folder, settings.superlink.folder) == (tmp_path / "coordinator", tmp_path / "link")
