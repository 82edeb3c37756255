"""The notebook in the documentation does what it shows."""

import json
import subprocess
import sys

import pytest

import driftline
from tests.support.paths import DOCS, ROOT

NOTEBOOK = DOCS / "notebook.ipynb"
RUN = "import json, sys; from pathlib import Path; from tests.support.notebook import run; "


def code_cells():
    return [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.process
def test_every_cell_gives_the_output_that_is_shown():
    # A process of its own: the engine sets up the logging of its process.
    command = [sys.executable, "-c", RUN + "print(json.dumps(run(Path(sys.argv[1]))), file=sys.stderr)", str(NOTEBOOK)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    shown = ["".join(line for output in cell["outputs"] for line in output["text"]) for cell in code_cells()]
    assert json.loads(ran.stderr.splitlines()[-1]) == shown, (
        "run `python -m tests.support.notebook docs/notebook.ipynb`"
    )


@pytest.mark.parametrize("name", [n for n in driftline.__all__ if n != "__version__"])
def test_every_public_name_is_on_the_page(name):
    assert f"`{name}`" in (DOCS / "python.md").read_text("utf-8")


def test_the_notebook_uses_the_public_interface_alone():
    imported = {line for cell in code_cells() for line in "".join(cell["source"]).splitlines() if "import " in line}
    assert imported == {"import random", "import driftline", "from pathlib import Path"}
