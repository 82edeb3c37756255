"""Makes the pictures of the console in `docs/images` from the screenshots of the browser tests.

1. `DRIFTLINE_SCREENSHOTS=FOLDER pytest -m process`, with `test_console.py` and `test_whole_story.py` of `tests/engine`
2. `python -m tests.support.screenshots FOLDER`
"""

import sys
from pathlib import Path

from PIL import Image

from tests.support.paths import ROOT

IMAGES = ROOT / "docs" / "images"
PICTURES = {
    "console-overview": "overview",
    "console-round": "rounds",
    "console-became-normal": "whole-became-normal",
    "console-job": "job",
    "console-narrow": "narrow-alerts",
}
"""Name of the picture to that of the screenshot."""

COLOURS = 64
"""Enough for text on plain ground; the files are a third as large."""


def convert(folder: Path) -> None:
    """Write all pictures with few colours."""
    for name, shot in PICTURES.items():
        with Image.open(folder / f"{shot}.png") as picture:
            few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
