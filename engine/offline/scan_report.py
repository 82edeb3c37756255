"""The report of a scan: one HTML page that needs no other file, with a timeline of every source."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from engine.offline.scan import LogScan, SourceScan

_WIDTH, _HEIGHT, _COLUMNS = 960, 120, 240
_COLOUR = {"critical": "#b00020", "high": "#d9480f", "medium": "#e0a100", "low": "#5c940d", "info": "#1c7ed6"}
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .3em}
pre{background:#f6f6f6;padding:.6em;overflow-x:auto;font-size:13px;white-space:pre-wrap;word-break:break-all}
.badge{color:#fff;border-radius:3px;padding:1px 7px;font-size:.85em}.what{font-weight:600}.dim{color:#777}
li{margin:.4em 0}svg{width:100%;height:auto;background:#fafafa;border:1px solid #ddd}
"""


def page(scan: LogScan, documents: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        scan: What was scanned, for the timelines.
        documents: The findings, ranked, see `engine.findings.describe.document`.
        sources: See `engine.offline.scan.sources_of`.
    """
    parts = ["<!doctype html><html lang='en'><meta charset='utf-8'><title>Driftline scan</title>"]
    parts.append(f"<style>{_STYLE}</style><h1>{_count(len(documents), 'finding')}</h1>")
    for source in sources:
        mine = [found for found in documents if found["source"] == source["source"]]
        parts.append(f"<h2>{escape(source['source'])}</h2><p class='dim'>{escape(_read(source))}</p>")
        parts.append(_timeline(scan.sources[source["source"]], mine))
    parts += [_finding(found) for found in documents]
    return "\n".join(parts) + "\n"


def _read(source: Mapping[str, Any]) -> str:
    learnt = source["learnt_records"]
    first, last = (_seconds(source[end]) for end in ("first_time", "last_time"))
    return (
        f"{_count(source['lines'], 'line')}, {_count(source['templates'], 'template')}, {first} to "
        f"{last}; learnt from the first {learnt:,} records ({source['learnt_why']}), "
        f"judged {source['records'] - learnt:,}."
    )


def _timeline(source: SourceScan, documents: Sequence[Mapping[str, Any]]) -> str:
    """Lines over time as bars, the learnt part grey, every finding a band with its rank."""
    if source.first_ns is None or not source.timeline:
        return ""
    first, last = source.first_ns, max(source.last_ns, source.first_ns + 1)
    ends = np.array([end for end, _ in source.timeline], np.float64)
    counts = np.array([count for _, count in source.timeline], np.float64)
    at = np.clip(((ends - first) / (last - first) * _COLUMNS).astype(int), 0, _COLUMNS - 1)
    bars = np.bincount(at, counts, _COLUMNS)
    high, wide = max(1.0, float(bars.max())), _WIDTH / _COLUMNS
    judged_from = source.watch.judged_from
    split = _WIDTH if judged_from is None else (judged_from[1] - first) / (last - first) * _WIDTH
    shapes = [
        f"<rect x='{i * wide:.1f}' y='{_HEIGHT - h:.1f}' width='{wide * 0.9:.1f}' height='{h:.1f}' "
        f"fill='{'#c9c9c9' if i * wide < split else '#7b9fc4'}'/>"
        for i, h in enumerate((bars / high * (_HEIGHT - 24)).tolist())
        if h
    ]
    for found in documents:
        shapes.append(_band(found, source, first, last))
    return f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' aria-label='lines over time'>{''.join(shapes)}</svg>"


def _band(found: Mapping[str, Any], source: SourceScan, first: int, last: int) -> str:
    finding = next(
        f for f in source.watch.grouping.findings if f.first == found["first_row"] and f.last == found["last_row"]
    )
    x = (finding.first_ns - first) / (last - first) * _WIDTH
    width = max(3.0, (finding.last_ns - finding.first_ns) / (last - first) * _WIDTH)
    colour = _COLOUR[found["severity"]]
    return (
        f"<a href='#f{found['rank']}'><rect x='{x:.1f}' y='0' width='{width:.1f}' height='{_HEIGHT}' fill='{colour}' "
        f"fill-opacity='.25'><title>{escape(found['summary'])}</title></rect>"
        f"<text x='{min(x + 2, _WIDTH - 14):.1f}' y='14' font-size='13' fill='{colour}'>{found['rank']}</text></a>"
    )


def _finding(found: Mapping[str, Any]) -> str:
    hosts = f", on {escape(', '.join(found['hosts']))}" if found["hosts"] else ""
    reasons = "".join(
        f"<li><span class='what'>{escape(reason['what'])}</span><br>{escape(reason['sentence'])}"
        + "".join(f"<pre>{escape(e['place'])}: {escape(e['line'])}</pre>" for e in reason["examples"])
        + "</li>"
        for reason in found["reasons"]
    )
    colour = _COLOUR[found["severity"]]
    around = "\n".join(f"{line['place']}: {line['line']}" for line in found["around"])
    return (
        f"<h2 id='f{found['rank']}'>{found['rank']}. <span class='badge' style='background:{colour}'>"
        f"{found['severity']}</span> {escape(found['summary'])}</h2>"
        f"<p class='dim'>{escape(found['source'])}, {_seconds(found['since'])} to {_seconds(found['until'])}, records "
        f"{found['first_row'] + 1:,} to {found['last_row'] + 1:,}{hosts}, {escape(found['kind'].replace('_', ' '))}, "
        f"strength {found['strength']}</p><ul>{reasons}</ul>"
        f"<details><summary>Lines around the first one</summary><pre>{escape(around)}</pre></details>"
    )


def _seconds(time: str | None) -> str:
    """A time of a document for people: to the second, in UTC."""
    return f"{time[:10]} {time[11:19]}" if time else "-"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
