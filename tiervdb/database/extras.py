"""Data frames of libraries that are not required to be there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tiervdb.errors import FeatureUnavailableError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


def pandas_frame(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as a pandas data frame; FeatureUnavailableError without pandas."""
    _required("pandas", "to_pandas()")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def polars_frame(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a polars data frame; FeatureUnavailableError without polars."""
    frame: pl.DataFrame = _required("polars", "to_polars()").from_arrow(table)
    return frame


def _required(library: str, call: str) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        raise FeatureUnavailableError(f"{call} needs {library}: pip install {library}") from error
