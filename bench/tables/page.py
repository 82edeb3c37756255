"""Generated tables in the documentation: one writer for detectors and line classifiers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import put_section, read_result

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True, slots=True)
class GeneratedSection:
    """A section of a page that is written from result files.

    Attributes:
        page: The Markdown file.
        heading: Heading of the section.
        before: The heading that follows it where the page has no such section yet.
        results: Glob pattern of the result files.
        render: Result documents → the lines of the section.
        module: The module that a reader runs to write it again.
    """

    page: Path
    heading: str
    before: str
    results: str
    render: Callable[[Sequence[Mapping[str, Any]]], Sequence[str]]
    module: str

    def text(self, results: Sequence[Mapping[str, Any]]) -> str:
        """The section with its two marks."""
        begin = f"<!-- Written by python -m {self.module} from bench/results; do not edit. -->"
        return "\n".join([begin, *self.render(results), f"<!-- End of {self.heading.lower()}. -->"])

    def committed(self) -> list[dict[str, Any]]:
        """The committed results, by file name."""
        return [read_result(path) for path in sorted(RESULTS.glob(self.results))]

    def write(self) -> int:
        """Replace the section in its page; the exit code is 2 if there are no results."""
        results = self.committed()
        if not results:
            print(f"bench/results holds no {self.results}; `python -m bench run SCENARIO --out …` writes one")
            return 2
        page = self.page.read_text("utf-8")
        self.page.write_text(put_section(page, self.text(results), self.heading, self.before), "utf-8")
        return 0


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def figure(value: float, spread: float | None, *, best: bool) -> str:
    """A figure with three digits, bold where it is the best of its column, and its spread over the trials."""
    text = f"**{value:.3f}**" if best else f"{value:.3f}"
    return text if spread is None else f"{text} ± {spread:.3f}"
