"""``tiervdb import`` and ``tiervdb export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

import tiervdb
from tiervdb.cli import readable
from tiervdb.cli.opening import reading
from tiervdb.cli.options import (
    At,
    CollectionName,
    Columns,
    DatabasePath,
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


def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Directory of the database; made if there is none.")],
    collection: CollectionName,
    file: SourceFile,
    id: Annotated[str | None, typer.Option("--id", help="Column of the ids.  [default: id]")] = None,
    vector: Annotated[str | None, typer.Option("--vector", help="Column of the vectors.  [default: vector]")] = None,
    columns: Columns = None,
    metric: Annotated[str, typer.Option(help="Of a new collection: cosine, l2 or ip.")] = "cosine",
    stored: Annotated[
        str | None, typer.Option(help="Columns of a new collection that are never filtered on, say long text.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="A name for this load: the same command goes on where it was interrupted.")
    ] = None,
    json: Json = False,
) -> None:
    """Load a file into a collection, which is made if there is none of that name."""
    output = Output(json)
    names = column_names(columns)
    chosen = None if names == "*" else names
    with tiervdb.open(path) as db:
        if collection not in db:
            create(db, collection, file, id, vector, chosen, metric, column_names(stored) or ())
        with output.progress(f"import {file.name}") as advance:
            result = db[collection].ingest(file, id=id, vector=vector, columns=chosen, resume=resume, progress=advance)
    output.document({"collection": collection, "file": file, "result": result})
    done = readable.plural(result.rows, "row")
    output.say(f"imported {done} into {collection!r} in {readable.milliseconds(result.seconds)}")
    if result.skipped:
        output.say(f"{readable.plural(result.skipped, 'row')} were there from an earlier run")


def create(
    db: tiervdb.Database,
    name: str,
    file: Path,
    id: str | None,
    vector: str | None,
    columns: Any,
    metric: str,
    stored: Any,
) -> None:
    """An empty collection that the rows of the file fit into."""
    if file.suffix == ".npy":
        db.create_collection(name, dim=matrix(file).shape[1], metric=metric, id_type="int64")
        return
    first = first_row(file)
    if columns is not None:
        first = first.select([c for c in first.column_names if c in {id or "id", vector or "vector", *columns}])
    db.create_collection(name, data=first, id=id, vector=vector, metric=metric, stored=stored)


def matrix(file: Path) -> np.ndarray[Any, Any]:
    """A memory map of a .npy file of vectors."""
    try:
        array: np.ndarray[Any, Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"import {file}: cannot be read: {error}") from None
    if array.ndim != 2:
        raise InvalidInputError(f"import {file}: an array of shape {array.shape}; give (rows, dim)")
    return array


def first_row(file: Path) -> pa.Table:
    """One row is enough to tell types and dimension; the load writes it again."""
    try:
        if file.suffix.lower() in {".parquet", ".pq"}:
            batches = pq.ParquetFile(file).iter_batches(batch_size=1)
        else:
            batches = iter([pa.ipc.open_file(pa.memory_map(str(file))).get_batch(0)])
        return pa.Table.from_batches([next(batches)]).slice(0, 1)
    except (OSError, pa.ArrowException, StopIteration) as error:
        raise InvalidInputError(f"import {file}: cannot be read: {error or 'it has no rows'}") from None


def export(
    path: DatabasePath,
    collection: CollectionName,
    file: TargetFile,
    where: Where = None,
    param: Params = None,
    columns: Columns = None,
    at: At = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Write a collection, or the rows that match, to a Parquet file."""
    output = Output(json)
    if file.exists() and not force:
        raise AlreadyExistsError(f"export: {file} exists; choose another name, or say --force to replace it")
    with reading(path, at) as db:
        rows = db[collection]
        given: dict[str, Any] = {"where": where, "params": parameters(param)}
        total = rows.count(**given)
        stream = rows.scan(**given, columns=column_names(columns), vectors=True)
        with output.progress(f"export {collection}") as advance:
            written = write_whole(stream, file, total, advance)
    output.document({"collection": collection, "file": file, "rows": written, "bytes": file.stat().st_size})
    output.say(f"exported {readable.plural(written, 'row')} to {file}, {readable.size(file.stat().st_size)}")


def write_whole(stream: pa.RecordBatchReader, file: Path, total: int, advance: Advance) -> int:
    """Under another name first: a file that is there is whole."""
    partial = file.with_name(f"{file.name}.partial")
    written = 0
    try:
        with pq.ParquetWriter(partial, stream.schema) as writer:
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
