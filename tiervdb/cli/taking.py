"""Parameters that many commands share: defined once, as those of the function that makes one value of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

Command = Callable[..., None]


def taking(**makers: Callable[..., Any]) -> Callable[[Command], Command]:
    """A command that is given ``name=maker(...)`` shows the parameters of the maker in place of its own ``name``.

    Required ones stand where ``name`` stood, optional ones at the end, before --json.
    """
    [(name, make)] = makers.items()
    shared = inspect.signature(make, eval_str=True).parameters

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(**{name: make(**{one: given.pop(one) for one in shared})}, **given)

        signature = inspect.signature(command, eval_str=True)
        parameters = _in_place(name, list(shared.values()), list(signature.parameters.values()))
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _in_place(name: str, shared: list[inspect.Parameter], own: list[inspect.Parameter]) -> list[inspect.Parameter]:
    at = [one.name for one in own].index(name)
    required = [one for one in shared if one.default is one.empty]
    optional = [one for one in shared if one.default is not one.empty]
    rest = [one for one in own[at + 1 :] if one.name != "json"]
    json = [one for one in own if one.name == "json"]
    found = [*own[:at], *required, *rest, *optional, *json]
    return [one.replace(kind=one.KEYWORD_ONLY) for one in found]
