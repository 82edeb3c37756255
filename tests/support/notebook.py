"""Runs a notebook's cells in one namespace, without a Jupyter kernel.

`python -m tests.support.notebook docs/notebook.ipynb` writes the outputs into the notebook.
"""

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def run(path: Path) -> list[str]:
    """The text that each code cell prints, followed by the value of its last expression.

    Cells run in an empty folder that is removed afterwards. An exception of a cell is raised.
    """
    notebook = json.loads(path.read_text("utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return [_run("".join(cell["source"]), names, path) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _run(source: str, names: dict[str, Any], path: Path) -> str:
    tree = ast.parse(source, str(path))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, str(path), "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)
            if value is not None:
                print(repr(value))
    return out.getvalue()


def write_outputs(path: Path) -> None:
    """Replaces the outputs of the code cells by those of a run."""
    outputs = iter(run(path))
    notebook = json.loads(path.read_text("utf-8"))
    for number, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), start=1):
        text = next(outputs)
        lines = text.splitlines(keepends=True)
        cell["execution_count"] = number
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if text else []
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    write_outputs(Path(sys.argv[1]).resolve())
