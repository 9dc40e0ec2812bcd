"""Streams of rows."""

from __future__ import annotations

import pyarrow as pa

from tiervdb.database.selection import Selection
from tiervdb.engine.view import View
from tiervdb.format.columns import arrow_type, id_arrow_type
from tiervdb.segment.filter import Filter
from tiervdb.types import CollectionSchema


def row_reader(
    view: View, schema: CollectionSchema, condition: Filter | None, selection: Selection
) -> pa.RecordBatchReader:
    """The rows of a view as a stream; the view lives as long as the stream."""
    fields = result_schema(schema, selection)
    batches = view.scan(schema, condition, selection.columns, selection.vectors)
    return pa.RecordBatchReader.from_batches(fields, (batch.cast(fields) for batch in batches))


def result_schema(schema: CollectionSchema, selection: Selection) -> pa.Schema:
    """The fields of a result: id, the columns in the order asked, and the vector last."""
    fields = [pa.field("id", id_arrow_type(schema.id_type))]
    fields += [pa.field(c.name, arrow_type(c.type)) for c in selection.columns]
    if selection.vectors:
        fields.append(pa.field("vector", pa.list_(pa.float32(), schema.dim)))
    return pa.schema(fields)
