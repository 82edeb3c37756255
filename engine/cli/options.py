"""Options that several commands share, and what is made of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from engine.offline.detect import Preprocessing

Data = Annotated[Path, typer.Option("--data", help="Log file: plain, .gz, .xz or .zst.", show_default=False)]
Labels = Annotated[
    Path | None, typer.Option(help="CSV with BlockId,Label by session key; else the format's own label column.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Setting of the detector, key=value; may be repeated.")]
Region = Annotated[Path | None, typer.Option(help="Region TOML to take parse, window and model settings from.")]
Format = Annotated[str, typer.Option("--format", help="Log format, where no --region is given.")]
Window = Annotated[str, typer.Option(help="Kind of window, where no --region is given: session, sliding or time.")]
WindowSet = Annotated[
    list[str] | None, typer.Option("--window-set", help="Setting of the window, such as gap_s=43200; may be repeated.")
]
Store = Annotated[str | None, typer.Option(help="Model store; the region's if not given.")]
Name = Annotated[
    str | None, typer.Option("--name", "--model", help="Name of the model in the store; the region's if not given.")
]
Version = Annotated[int | None, typer.Option(help="Version; the current one if not given.")]
ThresholdSet = Annotated[
    list[str] | None,
    typer.Option("--threshold-set", help="Setting of the threshold rule, such as percent=99.9; may be repeated."),
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of the logged training runs.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]


def setup(
    region: Path | None, format: str, window: str, window_set: list[str] | None, store: str | None, name: str | None
) -> "tuple[Preprocessing, str, str, str]":
    """Preprocessing, store, name and device, from the region's file or from the options."""
    from pydantic import ValidationError

    from engine.offline.detect import default_preprocessing, region_preprocessing

    if region is not None:
        preprocessing, region_store, region_name, device = region_preprocessing(region)
        return preprocessing, store or region_store, name or region_name, device
    try:
        preprocessing = default_preprocessing(format, window, pairs(window_set or [], "gap_s=43200"))
    except ValidationError as error:
        raise typer.BadParameter("; ".join(map(problem, error.errors()))) from error
    return preprocessing, store or "models-store", name or "bert_cnn", "auto"


def problem(error: Mapping[str, Any]) -> str:
    """A pydantic error as a clause: the setting, the value, what would be right."""
    name, said = ".".join(map(str, error["loc"][-1:])), str(error["msg"]).removeprefix("Value error, ")
    return f"{name} = {error['input']!r}: {said}" if name else said


def pairs(texts: list[str], example: str) -> dict[str, Any]:
    """`key=value` pairs; values are read as JSON where they are that, else as text."""
    import orjson

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is no key=value, such as {example}")
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
            raise typer.BadParameter(f"{key}={value} is no number, such as percent=99.9")
    return {key: float(value) for key, value in found.items()}
