"""Errors as a command line reports them: a message on stderr, the error's own exit code, no traceback."""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec
import typer
from rich.text import Text
from typer.core import TyperGroup

from tiervdb.cli.output import console_for
from tiervdb.cli.wording import in_commands
from tiervdb.errors import TiervdbError

JSON = "tiervdb.json"  # where an invocation remembers that --json was given
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended
INTERRUPTED = 130


class Commands(TyperGroup):
    """A group whose commands end with the exit code of the error that they met.

    What is not an error of tiervdb is a bug, and keeps its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TiervdbError as error:
            report(error, json=bool(ctx.meta.get(JSON)))
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:
            # The reader has left (`tiervdb log | head`): nothing more to say, also not when Python flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from None
        except KeyboardInterrupt:
            console_for(sys.stderr).print("interrupted")
            raise typer.Exit(INTERRUPTED) from None


def report(error: TiervdbError, json: bool) -> None:
    """One line for people; with --json an object with the error's class, so that a program need not read the text."""
    message = in_commands(str(error))
    if json:
        document = {"error": type(error).__name__, "message": message, "exit_code": error.exit_code}
        sys.stderr.write(msgspec.json.encode(document).decode() + "\n")
    else:
        console_for(sys.stderr).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
