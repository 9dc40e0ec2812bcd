"""Streams of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from tiervdb.database.selection import Selection
from tiervdb.database.session import Session
from tiervdb.engine.view import View
from tiervdb.format.columns import arrow_type, id_arrow_type
from tiervdb.segment.filter import Filter
from tiervdb.types import CollectionSchema


def row_reader(
    session: Session, view: View, schema: CollectionSchema, condition: Filter | None, selection: Selection
) -> pa.RecordBatchReader:
    """The rows of a view as a stream; the view, and the session that it reads through, live as long as the stream."""
    fields = result_schema(schema, selection)
    batches = view.scan(schema, condition, selection.columns, selection.vectors)
    return pa.RecordBatchReader.from_batches(fields, _cast(batches, fields, session))


def result_schema(schema: CollectionSchema, selection: Selection) -> pa.Schema:
    """The fields of a result: id, the columns in the order asked, and the vector last."""
    fields = [pa.field("id", id_arrow_type(schema.id_type))]
    fields += [pa.field(c.name, arrow_type(c.type)) for c in selection.columns]
    if selection.vectors:
        fields.append(pa.field("vector", pa.list_(pa.float32(), schema.dim)))
    return pa.schema(fields)


def _cast(batches: Iterable[pa.RecordBatch], fields: pa.Schema, _keep: Session) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.cast(fields)
