"""Arrow tables in and out: from data frames of any library that speaks the Arrow interface."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.offline.export import arrow_schema
from engine.offline.inputs import DatasetError
from foundation.extras import require

Table = Any
"""A `pyarrow.Table`; pyarrow is an extra and has no type annotations."""


def pyarrow() -> Any:
    """The module.

    Raises:
        MissingExtraError: the extra `data` is not installed.
    """
    require("data", "an Arrow table")
    import pyarrow  # type: ignore[import-untyped]

    return pyarrow


def table_of(data: Any) -> Table:
    """A table from a pandas or Polars data frame, an Arrow table or record batch, or a mapping of columns.

    Raises:
        DatasetError: the data is none of these.
    """
    arrow = pyarrow()
    if isinstance(data, arrow.Table):
        return data
    if hasattr(data, "__arrow_c_stream__") or isinstance(data, Mapping):
        return arrow.table(data)
    if hasattr(data, "__arrow_c_array__"):
        return arrow.table(arrow.record_batch(data))
    raise DatasetError(f"a data frame or an Arrow table is expected, not {type(data).__name__}")


def table_of_records(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """A table with these columns from records of `engine.offline.export`."""
    schema = arrow_schema(columns)
    return pyarrow().table({name: [record[name] for record in records] for name in columns}, schema=schema)
