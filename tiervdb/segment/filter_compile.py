"""The second gate of a filter: DuckDB's parse tree holds only what a filter may be, and names columns by their ids.

Works on the JSON of ``json_serialize_sql``; DuckDB itself is in filter.py. Only node classes that are known here pass,
so a construct that a newer DuckDB adds is refused until somebody has looked at it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiervdb.errors import FilterError
from tiervdb.segment.filter_functions import CAST_TYPES, COLLATIONS, FUNCTIONS
from tiervdb.types import CollectionSchema, Column

ID_COLUMN = "id"
Node = dict[str, Any]

_REFUSED = {
    "SUBQUERY": "subqueries are not allowed in filters",
    "STAR": "* and COLUMNS(...) are not allowed in filters; name the columns",
    "WINDOW": "window functions are not allowed in filters",
    "LAMBDA": "lambdas, -> and list comprehensions are not allowed in filters",
    "POSITIONAL_REFERENCE": "filters name columns, not positions",
    "DEFAULT": "DEFAULT has no meaning in a filter",
}
_OPERATOR_TYPES = (
    "OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_NULLIF OPERATOR_TRY COMPARE_IN "
    "COMPARE_NOT_IN ARRAY_EXTRACT ARRAY_SLICE ARRAY_CONSTRUCTOR"
)
_OPERATORS = frozenset(_OPERATOR_TYPES.split())


def internal_name(column_id: int) -> str:
    """The name of a column in the SQL that is run, whatever users call it."""
    return f"c{column_id}"


@dataclass
class Checked:
    """What a checked expression refers to. ``columns``: by id. ``parameters``: numbers of those that occur."""

    columns: dict[int, Column] = field(default_factory=dict)
    uses_id: bool = False
    parameters: set[int] = field(default_factory=set)


def check_tree(tree: Node, skeleton: Node, schema: CollectionSchema) -> Checked:
    """Checks a parse tree and renames its columns in place.

    ``skeleton``: the tree of a statement that selects one constant; all but the selected expression must equal it.
    Raises FilterError naming what is not allowed.
    """
    expressions = _expressions(tree)
    if len(expressions) != 1 or _frame(tree) != _frame(skeleton):
        raise FilterError("a filter is one SQL expression, not a statement or several expressions")
    checked = Checked()
    _visit(expressions[0], schema, checked)
    return checked


def _expressions(tree: Node) -> list[Node]:
    statements = tree.get("statements", [])
    if len(statements) != 1:
        raise FilterError("a filter is one SQL expression, not several statements")
    node = statements[0].get("node", {})
    found: list[Node] = node.get("select_list", [])
    return found


def _frame(tree: Node) -> object:
    """The statement without its expression and its parameters."""
    ignored = {"select_list", "named_param_map", "query_location", "query_location_length"}

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: bare(v) for k, v in value.items() if k not in ignored}
        return [bare(v) for v in value] if isinstance(value, list) else value

    return bare(tree)


def _visit(value: Any, schema: CollectionSchema, checked: Checked) -> None:
    if isinstance(value, list):
        for item in value:
            _visit(item, schema, checked)
        return
    if not isinstance(value, dict):
        return
    if "class" in value:
        kind = value["class"]
        check = _CHECKS.get(kind)
        if check is None:
            raise FilterError(
                _REFUSED.get(kind, f"{kind.lower().replace('_', ' ')} expressions are not allowed in filters")
            )
        if value.get("alias"):
            raise FilterError(f"the filter gives a name ({value['alias']!r}) to a part of it; leave the name out")
        check(value, schema, checked)
    for item in value.values():
        _visit(item, schema, checked)


def _check_nothing(_node: Node, _schema: CollectionSchema, _checked: Checked) -> None:
    """Its parts are checked, and there is nothing else to it."""


def _check_column(node: Node, schema: CollectionSchema, checked: Checked) -> None:
    names: list[str] = node["column_names"]
    if len(names) != 1:
        raise FilterError(f"{'.'.join(names)!r} is not a column; a name that has a dot needs double quotes")
    column = _find_column(names[0], schema)
    if column is None:
        checked.uses_id = True
        node["column_names"] = [ID_COLUMN]
        return
    if column.stored:
        raise FilterError(
            f"column {column.name!r} was created with stored=: it is kept for reading only, and filters cannot use it"
        )
    checked.columns[column.id] = column
    node["column_names"] = [internal_name(column.id)]


def _find_column(name: str, schema: CollectionSchema) -> Column | None:
    """The column of that name, None for the id. Other case is fine where that is not ambiguous."""
    known: Mapping[str, Column | None] = {ID_COLUMN: None, **{c.name: c for c in schema.columns}}
    if name in known:
        return known[name]
    similar = [k for k in known if k.lower() == name.lower()]
    if len(similar) == 1:
        return known[similar[0]]
    if similar:
        raise FilterError(f"{name!r} can be any of the columns {_quoted(similar)}; write it as the column is written")
    hint = nearest(name, known)
    raise FilterError(
        f"collection {schema.name!r} has no column {name!r}{hint}; it has {_quoted(known)} "
        "(text is written in single quotes, double quotes are for names)"
    )


def _check_function(node: Node, _schema: CollectionSchema, _checked: Checked) -> None:
    name = node["function_name"]
    path = node.get("qualified_name", {}).get("path", [name])
    if node.get("schema") or node.get("catalog") or path != [name]:
        raise FilterError(
            f"write {name}(...) for {'.'.join(map(str, path))}(...): filters call functions by their name"
        )
    if name.lower() == "row":
        raise FilterError("a filter is one expression, not several with commas between; join them with AND or OR")
    if name.lower() not in FUNCTIONS:
        raise FilterError(f"the function {name!r} cannot be used in filters{nearest(name, FUNCTIONS)}")
    ordered = (node.get("order_bys") or {}).get("orders")
    if node.get("filter") or ordered or node.get("distinct") or node.get("export_state"):
        raise FilterError(f"{name}(...) takes only its arguments in a filter")
    if any(argument.get("name") for argument in node.get("arguments", [])):
        raise FilterError(f"{name}(...) takes its arguments by position in a filter")


def _check_operator(node: Node, _schema: CollectionSchema, _checked: Checked) -> None:
    if node["type"] not in _OPERATORS:
        raise FilterError(f"{node['type'].lower().replace('_', ' ')} is not allowed in filters")


def _check_parameter(node: Node, _schema: CollectionSchema, checked: Checked) -> None:
    name = str(node["identifier"])
    if not name.isdecimal():
        raise FilterError(f"parameter ${name}: filters take their parameters by position; write ?")
    checked.parameters.add(int(name))


def _check_type(node: Node, _schema: CollectionSchema, _checked: Checked) -> None:
    name = str(node["type_name"])
    if name.upper() not in CAST_TYPES or node.get("schema") or node.get("catalog"):
        raise FilterError(f"a filter cannot cast to {name!r}{nearest(name.upper(), CAST_TYPES)}")


def _check_cast(node: Node, _schema: CollectionSchema, _checked: Checked) -> None:
    """Its type is a part of it, and checked as such."""
    if node.get("type_expr", {}).get("class") != "TYPE":
        raise FilterError("a filter casts to a type that is written out")


def _check_collation(node: Node, _schema: CollectionSchema, _checked: Checked) -> None:
    if str(node["collation"]).lower() not in COLLATIONS:
        raise FilterError(f"collation {node['collation']!r} cannot be used in filters; known are {_quoted(COLLATIONS)}")


_CHECKS: Mapping[str, Callable[[Node, CollectionSchema, Checked], None]] = {
    "BETWEEN": _check_nothing,
    "CASE": _check_nothing,
    "CAST": _check_cast,
    "COLLATE": _check_collation,
    "COLUMN_REF": _check_column,
    "COMPARISON": _check_nothing,
    "CONJUNCTION": _check_nothing,
    "CONSTANT": _check_nothing,
    "FUNCTION": _check_function,
    "OPERATOR": _check_operator,
    "PARAMETER": _check_parameter,
    "TYPE": _check_type,
}


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the end of a message: the known name that is most like this one, or nothing."""
    similar = difflib.get_close_matches(name.lower(), sorted(known), n=1)
    return f" (did you mean {similar[0]!r}?)" if similar else ""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(n) for n in sorted(names))
