"""``tiervdb import`` and ``tiervdb export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from tiervdb.cli import readable
from tiervdb.cli.exported import with_schema
from tiervdb.cli.fitting import Wanted, fitting, planned
from tiervdb.cli.opening import Opening, on_database
from tiervdb.cli.options import (
    At,
    CollectionName,
    Columns,
    Json,
    Params,
    Where,
    column_names,
    parameters,
)
from tiervdb.cli.output import Advance, Output
from tiervdb.errors import AlreadyExistsError, InvalidInputError

SourceFile = Annotated[Path, typer.Argument(metavar="FILE", help="A Parquet, Arrow or .npy file.")]
TargetFile = Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")]


@on_database
def import_(
    opening: Opening,
    collection: CollectionName,
    file: SourceFile,
    id: Annotated[str | None, typer.Option("--id", help="Column of the ids.  [default: id]")] = None,
    vector: Annotated[str | None, typer.Option("--vector", help="Column of the vectors.  [default: vector]")] = None,
    columns: Columns = None,
    metric: Annotated[
        str | None, typer.Option(help="cosine, l2 or ip.  [default: as exported, else cosine]", show_default=False)
    ] = None,
    stored: Annotated[
        str | None,
        typer.Option(help="Columns of a new collection that are never filtered on: long text.  [default: as exported]"),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="A name for this load: the same command goes on where it was interrupted.")
    ] = None,
    json: Json = False,
) -> None:
    """Load a file into a collection; database and collection are made if there are none.

    A file that `tiervdb export` wrote makes an equal collection: it carries metric, id type and columns.
    """
    output = Output(json)
    names = column_names(columns)
    chosen = None if names is None or names == "*" else list(names)
    wanted = Wanted(id, vector, chosen, metric, None if stored is None else list(column_names(stored) or ()))
    schema = None if opening.exists else planned(collection, file, wanted)
    with (
        opening.open() as db,
        fitting(db, collection, file, wanted, schema) as rows,
        output.progress(f"import {file.name}") as advance,
    ):
        result = rows.ingest(file, id=id, vector=vector, columns=chosen, resume=resume, progress=advance)
    output.document({"collection": collection, "file": file, "result": result})
    done = readable.plural(result.rows, "row")
    output.say(f"imported {done} into {collection!r} in {readable.milliseconds(result.seconds)}")
    if result.skipped:
        output.say(f"{readable.plural(result.skipped, 'row')} were there from an earlier run")


@on_database
def export(
    opening: Opening,
    collection: CollectionName,
    file: TargetFile,
    where: Where = None,
    param: Params = None,
    columns: Columns = None,
    at: At = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Write a collection, or the rows that match, to a Parquet file, which `tiervdb import` makes equal again."""
    output = Output(json)
    if file.suffix.lower() not in {".parquet", ".pq"}:
        raise InvalidInputError(f"export: {file} is written as Parquet; give a name that ends in .parquet")
    if file.exists() and not force:
        raise AlreadyExistsError(f"export: {file} exists; choose another name, or say --force to replace it")
    with opening.reading(at) as db:
        rows = db[collection]
        given: dict[str, Any] = {"where": where, "params": parameters(param)}
        total = rows.count(**given)
        stream = rows.scan(**given, columns=column_names(columns), vectors=True)
        with output.progress(f"export {collection}") as advance:
            written = write_whole(stream, with_schema(stream.schema, rows.schema), file, total, advance)
    output.document({"collection": collection, "file": file, "rows": written, "bytes": file.stat().st_size})
    output.say(f"exported {readable.plural(written, 'row')} to {file}, {readable.size(file.stat().st_size)}")


def write_whole(stream: pa.RecordBatchReader, fields: pa.Schema, file: Path, total: int, advance: Advance) -> int:
    """Under another name first: a file that is there is whole."""
    partial = file.with_name(f"{file.name}.partial")
    written = 0
    try:
        with pq.ParquetWriter(partial, fields) as writer:
            for batch in stream:
                writer.write_batch(batch)
                written += len(batch)
                advance(written, total)
        partial.replace(file)
    except OSError as error:
        raise InvalidInputError(f"export to {file}: cannot be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return written
