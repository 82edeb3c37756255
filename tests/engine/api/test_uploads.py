"""Uploads of any content, name and encoding: answers or problems, limits that hold, and no files that stay."""

import bz2
import gzip
import io
import json
import os
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.sql_schema import JOBS
from engine.api.settings import ServeSettings
from engine.corpus.data import DataError
from engine.offline.training_job import TrainingJob, run_training
from tests.support.sweep import sweep

LINE_BYTES, BODY_BYTES, UPLOAD_BYTES = 200, 20_000, 3_000_000
SPOOLED = b"a line of a file that is too long for memory\n" * 40_000
"""An upload that does not stay in memory."""

MANY = settings(
    max_examples=sweep(60, 2_000), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip

TEXT = st.text(max_size=60)
ENCODINGS = ("utf-8", "utf-16", "utf-16-le", "utf-32", "utf-7", "cp1252", "shift_jis", "koi8-r")


def packed(content):
    """A ZIP archive whose directory lies about the size of its file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.log", content)
    made = bytearray(out.getvalue())
    at = made.index(b"PK\x01\x02")
    made[at + 24 : at + 28] = (7).to_bytes(4, "little")
    return bytes(made)


BOMB = gzip.compress(b"started\n" * 1_000_000)
ARCHIVES = (BOMB, BOMB[:-4] + b"\1\0\0\0", BOMB[:100], bz2.compress(b"0" * 1_000_000), packed(b"0" * 100_000))
"""Small archives of much text: whole, with a wrong size at its end, cut, and others."""

CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda text, name: text.encode(name, "replace"), TEXT, st.sampled_from(ENCODINGS)),
    st.lists(st.binary(max_size=40), max_size=20).map(b"\n".join),
    st.sampled_from(
        (*ARCHIVES, b"", b"\n" * 500, b"\r\n", b"x" * 50_000, b"\0" * 1_000, b"\xef\xbb\xbf", b"{" * 3_000)
    ),
    st.integers(1, 5_000).map(lambda n: b"[" * n),
)
NAMES = st.one_of(
    TEXT,
    st.sampled_from(
        ("", ".", "..", "../../etc/passwd", "a/b\\c.log", "x" * 3_000, "a\r\nX-Evil: 1", 'a".log', "C:\\aux",
         "a.csv.gz", "x.zst", "\0", "name\0.log", "%00", "\u202egol.exe", "job.json", ".gz")
    ),
)  # fmt: skip
TYPES = st.sampled_from(
    ("multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary=", "text/plain", "",
     "multipart/form-data; boundary=b; charset=utf-16", "application/x-www-form-urlencoded", "application/json")
)  # fmt: skip


@pytest.fixture
def serve_settings(store, tmp_path):
    requests = {
        "line_bytes": LINE_BYTES, "body_bytes": BODY_BYTES, "upload_bytes": UPLOAD_BYTES,
        "predictions_per_minute": 1_000_000,
    }  # fmt: skip
    jobs = {"path": str(tmp_path / "jobs"), "waiting": 1_000_000}
    return ServeSettings(store=store, models=str(tmp_path / "models"), requests=requests, jobs=jobs)


@pytest.fixture
def client(log_in):
    made = log_in("admin")
    made.post("/api/predict", json={"logs": ["started"]})  # opens what stays open
    return made


def checked(answer):
    """An answer that is neither the fault of the service nor without its reason; whether it was accepted."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
    return answer.status_code < 300


def check_lines(answer):
    """An answer about lines that is whole and adds up."""
    if checked(answer):
        found = answer.json()
        assert len(found["logs"]) == found["total_logs"] == sum(found["summary"]["class_distribution"].values())
        assert sum(found["summary"]["log_type_distribution"].values()) == found["total_logs"]
        assert all(len(log["raw"]) <= LINE_BYTES for log in found["logs"])


def open_files():
    return len(os.listdir("/proc/self/fd"))


def form(name, content, fields, *, boundary=b"b", end=b"--\r\n"):
    """A body of form data as a client that checks nothing writes it."""
    field = name.replace('"', "%22").encode("utf-8", "surrogatepass")
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v) for k, v in fields.items()
    ]
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n' % field
    return b"".join(parts) + head + content + b"\r\n--" + boundary + end


@MANY
@given(content=CONTENTS, name=NAMES)
@example(content=SPOOLED, name="app.log")
@example(content=b"x" * UPLOAD_BYTES, name="app.log")
def test_any_file_is_classified_or_refused(client, content, name):
    before = open_files()
    answer = client.post("/api/predict-batch", files={"file": (name, content)}, data={"include_templates": "false"})
    check_lines(answer)
    assert answer.status_code in ((200, 422) if len(content) < UPLOAD_BYTES - 500 else (413,))
    assert open_files() == before


@MANY
@given(
    content=CONTENTS, name=NAMES, kind=TYPES, end=st.sampled_from((b"--\r\n", b"", b"\r\n")), cut=st.integers(0, 400)
)
@example(content=b"x" * UPLOAD_BYTES, name="a", kind="multipart/form-data; boundary=b", end=b"", cut=0)
@example(content=SPOOLED, name="a", kind="multipart/form-data; boundary=b", end=b"", cut=0)
def test_form_data_that_is_wrong_is_refused(client, tmp_path, content, name, kind, end, cut):
    before = open_files()
    body = form(name, content, {"model_type": b"ml", "detector": b"rules"}, end=end)
    for sent in (body, body[: len(body) - cut], body[cut:]):
        for path in ("/api/predict-batch", "/api/v1/jobs"):
            check = check_lines if "batch" in path else checked
            check(client.post(path, content=sent, headers={"Content-Type": kind}))
    assert open_files() == before
    assert not list(tmp_path.glob("jobs/*")), "a file without the name `data` starts nothing"


@MANY
@given(
    content=CONTENTS | TEXT.map(lambda text: json.dumps({"logs": text}).encode()),
    path=st.sampled_from(("predict", "analyze")),
)
@example(content=b'{"logs": ["\\ud800", "\\u0000", "\\u2028"]}', path="analyze")
@example(content=b'{"logs": "' + b"x" * BODY_BYTES + b'"}', path="predict")
def test_any_body_of_json_is_answered(client, content, path):
    answer = client.post(f"/api/{path}", content=content, headers={"Content-Type": "application/json"})
    check_lines(answer)
    assert (answer.status_code == 413) == (len(content) > BODY_BYTES) or b'"logs"' in content


@MANY
@given(content=CONTENTS, name=NAMES, labels=CONTENTS, given=st.sampled_from(("", "{}", "[1]", "{", '{"a": NaN}', "\0")))
@example(content=SPOOLED, name="x.log", labels=b"a,b", given="{}")
def test_any_training_data_waits_in_the_jobs_folder_or_leaves_nothing(
    client, services, tmp_path, content, name, labels, given
):
    before = open_files()
    files = {"data": (name, content), "labels": (name, labels)}
    answer = client.post("/api/v1/jobs", data={"detector": "rules", "settings": given}, files=files)
    accepted = checked(answer)
    assert open_files() == before
    known = {row["id"] for row in services.database.rows(JOBS.select())}
    assert {path.name for path in tmp_path.glob("jobs/*")} == known
    if accepted:
        folder = tmp_path / "jobs" / answer.json()["id"]
        found = {path.relative_to(folder).parts[:-1]: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert (found["data", "data"], found["data", "labels"]) == (content, labels)
        cancelled = client.post(f"/api/v1/jobs/{answer.json()['id']}/cancel").json()
        assert (cancelled["state"], (folder / "data").exists()) == ("cancelled", False)


@pytest.mark.parametrize("content", ARCHIVES[:4])
@pytest.mark.parametrize("detector", ["random_forest", "event_counts"])
def test_an_archive_of_much_text_fails_the_job_and_not_the_machine(tmp_path, content, detector):
    data = tmp_path / "lines.csv.gz"
    data.write_bytes(content)
    job = TrainingJob(
        id="1", kind="train", model="lines", detector=detector, models=str(tmp_path / "models"), data=data,
        unpacked_bytes=10_000,
    )  # fmt: skip
    with pytest.raises(DataError, match=r"more than 10,000 bytes once it is decompressed|truncated or damaged"):
        run_training(job, lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["lines.csv.gz"]
