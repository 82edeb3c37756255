"""The findings of a scan on the screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "green", "info": "cyan"}


def show(documents: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]], top: int) -> None:
    """Print the sources, and the findings that rank highest."""
    console = Console(highlight=False, soft_wrap=True)
    for source in sources:
        learnt = source["learnt_records"]
        console.print(
            f"[bold]{escape(source['source'])}[/bold]: {source['lines']:,} lines, {source['templates']:,} templates"
            f"{_span(source)}; learnt from the first {learnt:,} records ({source['learnt_why']}), "
            f"judged {source['records'] - learnt:,}"
            + (f"; {source['bad_lines']:,} lines not parsed" if source["bad_lines"] else "")
        )
    if not documents:
        console.print("\nNothing new or unusual found.")
        return
    several = len(sources) > 1
    for found in documents[:top]:
        _finding(console, found, several=several)
    if len(documents) > top:
        console.print(f"\n{len(documents) - top} more findings; --top {len(documents)} shows all.")


def _span(source: Mapping[str, Any]) -> str:
    first, last = source["first_time"], source["last_time"]
    return f", {first[:19]} to {last[:19]}" if first and last else ""


def _finding(console: Console, found: Mapping[str, Any], *, several: bool) -> None:
    style = _STYLE[found["severity"]]
    where = f" in {escape(found['source'])}" if several else ""
    hosts = f" on {', '.join(found['hosts'][:5])}" if found["hosts"] else ""
    console.print(
        f"\n[{style}]{found['rank']}. {found['severity']}[/{style}]{where}{escape(hosts)}, since {found['since'][:19]}"
        f" (records {found['first_row'] + 1:,} to {found['last_row'] + 1:,}), {found['kind'].replace('_', ' ')},"
        f" strength {found['strength']:.1f}"
    )
    shown: dict[str, str] = {}
    for reason in found["reasons"]:
        if reason["what"] in shown or len(shown) == 5:
            continue
        shown[reason["what"]] = reason["sentence"]
        console.print(f"   [bold]{escape(reason['what'])}[/bold]\n     {escape(reason['sentence'])}")
        if reason["examples"]:
            example = reason["examples"][0]
            console.print(f"     [dim]{escape(example['place'])}: {escape(example['line'][:200])}[/dim]")
    rest = len({reason["what"] for reason in found["reasons"]}) + found["reasons_omitted"] - len(shown)
    if rest:
        console.print(f"   and {rest} more")
