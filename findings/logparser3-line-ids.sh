#!/usr/bin/env bash
# logparser3 1.0.4: LineId is not the number of the line. Lines that do not fit log_format, such as those of a stack
# trace, are left out and not counted: all LineIds after them shift, without a word, so that labels by line number are
# given to other lines. Drain, Spell, IPLoM and AEL alike.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" logparser3==1.0.4 numpy==2.4.6 pandas==3.1.1
cd "$folder"
PYTHONPATH=$folder python3 -W ignore - <<'PY'
import contextlib
import importlib
import io
from importlib.metadata import version

import pandas

lines = [
    "2026-11-30 10:00:00 INFO Connected to host1 port 1001",
    "2026-11-30 10:00:01 ERROR Request failed",
    "    at com.example.Shop.pay(Shop.java:10)",
    "    at com.example.Shop.main(Shop.java:5)",
    "2026-11-30 10:00:02 INFO Connected to host2 port 1002",
]
with open("a.log", "w") as log:
    log.writelines(f"{line}\n" for line in lines)
for name, settings in (("Drain", {}), ("Spell", {}), ("IPLoM", {}), ("AEL", {})):
    parser = importlib.import_module(f"logparser.{name}").LogParser(
        indir=".", outdir="out", log_format="<Date> <Time> <Level> <Content>", rex=[], **settings
    )
    with contextlib.redirect_stdout(io.StringIO()):
        parser.parse("a.log")
    rows = pandas.read_csv("out/a.log_structured.csv")
    last = rows.iloc[-1]
    print(f"logparser3 {version('logparser3')} {name}: line 5 of the file has LineId {last.LineId}: {last.Content}")
    assert (last.LineId, last.Content) == (3, "Connected to host2 port 1002")
PY
