"""``where=`` and ``params=``, as users pass them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiervdb.errors import FilterError
from tiervdb.segment.filter import Filter, compile_filter
from tiervdb.types import CollectionSchema

Params = Sequence[Any] | None


def to_filter(where: str | None, params: Params, schema: CollectionSchema) -> Filter | None:
    """The compiled filter, None without ``where``. Raises FilterError for what is no expression over the columns."""
    if where is None:
        if params:
            raise FilterError("params= was given without where=; give the SQL expression whose ? they fill")
        return None
    if not isinstance(where, str):
        raise FilterError(f"where= must be an SQL expression as a string, not {type(where).__name__}")
    if isinstance(params, str | bytes) or (params is not None and not isinstance(params, Sequence)):
        raise FilterError(f"params= must be a list with a value for each ? in where=, not {type(params).__name__}")
    return compile_filter(where, list(params or ()), schema)
