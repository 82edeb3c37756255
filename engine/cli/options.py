"""Options that several commands share, and the values made from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from engine.offline.detect import Preprocessing

Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="Log file (plain, .gz, .bz2, .xz, .zst, .lz4), folder, glob, or - for standard input. May be repeated.",
        show_default=False,
    ),
]
LABELS_HELP = (
    "CSV or JSON lines with session,label or line,label or start,end,label; or column:NAME for a column of the log. "
    "Without it: the label column of the format, if it has one."
)
Labels = Annotated[str | None, typer.Option(help=LABELS_HELP)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Setting of the model, key=value; see docs/model-settings.md. May be repeated."),
]
Region = Annotated[Path | None, typer.Option(help="Region's TOML file with the settings for parse, window and model.")]
FormatName = Annotated[str, typer.Option("--format", help="Log format; auto detects it. Not used with --region.")]
DetectedFormat = Annotated[str, typer.Option("--format", help="Log format; auto detects it.")]
Timezone = Annotated[str, typer.Option(help="IANA name of the time zone of times that are written without one.")]
LOGS_HELP = (
    "Log files (plain, .gz, .bz2, .xz, .zst, .lz4), folders with all that is below them, globs; - for standard input."
)
LogNames = Annotated[list[str], typer.Argument(help=LOGS_HELP, show_default=False)]
Window = Annotated[str, typer.Option(help="Kind of window: session, sliding or time. Not used with --region.")]
WindowSet = Annotated[
    list[str] | None, typer.Option("--window-set", help="Setting of the window, such as gap_s=43200. May be repeated.")
]
StoreUrl = Annotated[str | None, typer.Option(help="Model store; the region's if not given.")]
Name = Annotated[
    str | None, typer.Option("--name", "--model", help="Name of the model in the store; the region's if not given.")
]
Detector = Annotated[
    str | None,
    typer.Option(help="Detector that needs no model: rules, which scores templates by their words. No store is read."),
]
Version = Annotated[int | None, typer.Option(help="Version; the current one if not given.")]
ThresholdSet = Annotated[
    list[str] | None,
    typer.Option("--threshold-set", help="Setting of the threshold rule, such as percent=99.9. May be repeated."),
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of the logged training runs.")]
KeepCut = Annotated[
    bool, typer.Option("--keep-cut", help="Also judge sessions that are still open at the end of their file.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]


def setup(
    region: Path | None, format: str, window: str, window_set: list[str] | None, store: str | None, name: str | None
) -> "tuple[Preprocessing, str, str, str]":
    """Preprocessing, store, name and device, from the region's file or from the options."""
    from engine.offline.detect import default_preprocessing, region_preprocessing

    if region is not None:
        preprocessing, region_store, region_name, device = region_preprocessing(region)
        return preprocessing, store or region_store, name or region_name, device
    preprocessing = default_preprocessing(format, window, pairs(window_set or [], "gap_s=43200"))
    return preprocessing, store or "models-store", name or "bert_cnn", "auto"


def pairs(texts: list[str], example: str) -> dict[str, Any]:
    """`key=value` pairs; a value that is valid JSON is read as such, any other as text."""
    import orjson

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} should be key=value, such as {example}")
        try:
            found[key] = orjson.loads(value)
        except orjson.JSONDecodeError:
            found[key] = value
    return found


def numbers(texts: list[str] | None) -> dict[str, float]:
    """`key=value` pairs whose values are numbers."""
    found = pairs(texts or [], "percent=99.9")
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise typer.BadParameter(f"{key}={value} should be a number, such as percent=99.9")
    return {key: float(value) for key, value in found.items()}
