"""Messages say what to do as Python says it; whoever meets them on the command line reads the command instead."""

from __future__ import annotations

import re

_STORES = "(the AWS_* variables, or [stores] in --config FILE)"
_PHRASES = (
    ("give key=Key.file(path), Key.env(name) or Key.command(command), or on the command line --key-file, --key-env or "
     "--key-command", "give --key-file, --key-env or --key-command, or --config FILE that names it"),
    ('open(..., copied="take_over")', "`tiervdb adopt PATH take-over`"),
    ('open(..., copied="clone")', "`tiervdb adopt PATH clone`"),
    ('open the copy with copied="clone"', "run `tiervdb adopt COPY clone`"),
    ("or open it with copied= first", "or run `tiervdb adopt PATH clone` first"),
    ("or open it here with read_only=True", "or only read: search, export, status and backup work beside it"),
    ("opened with read_only=True; open it without to write", "open for reading only"),
    ("Open it with repository=,", "Name one with --repository,"),
    ("leave repository= out", "leave --repository out"),
    ("Repository.create(url) makes one, and so does tiervdb.open(path, repository=url) for a new database",
     "`tiervdb backup PATH --repository URL` makes one"),
    ("open it with Repository(url)", "name it with --repository"),
    ("Repository.windows() and .backups() list", "`tiervdb windows` and `tiervdb backups list` list"),
    ("call archive()", "run `tiervdb archive PATH`"),
    ("call backup()", "run `tiervdb backup PATH`"),
    ("call maintain()", "run `tiervdb tier PATH`"),
    ("open with archive=\"async\"", "set archive to async in the configuration"),
    ("open with archive_behind=\"keep\"", "open it where archive_behind is keep"),
    ("put them into storage_options", f"put them elsewhere {_STORES}"),
    ("give key and secret or a profile in storage_options", f"give key and secret, or a profile {_STORES}"),
    ("check the URL and storage_options", f"check the URL and the credentials {_STORES}"),
    ("check protocol and storage_options", "check the protocol, and what its package needs"),
)  # fmt: skip
_COMMANDS = {
    "snapshot": "snapshot create",
    "clone": "clone",
    "log": "log",
    "pins": "pin list",
    "recover": "recover",
    "backups": "backups list",
    "holds": "holds",
    "restore": "restore",
    "attach": "attach",
    "copy_to": "copy",
}
_CALL = re.compile(r"(?:\bdb\.|\bRepository(?:\([^)]*\))?\.|(?<![\w.]))(\w+)\((?:\.\.\.|path|since=\d+)?\)")
_TARGET = re.compile(r"\bTarget\.(seq|backup|snapshot)\(([^)]*)\)")
_OPTIONS = (
    *("attach", "cold", "collections", "delta", "kind", "label", "lock", "pitr", "reason", "require_restorable"),
    *("resume", "sample", "timeline", "where", "fraction", "mode", "scratch"),
)
_OPTION = re.compile(rf'\b({"|".join(_OPTIONS)})=(?:"([^"]*)"|(True)|([\w.]+))?')
_QUOTED = re.compile(r"((?<!\w)'[^']*'(?!\w))")  # what a user wrote is not touched


def in_commands(message: str) -> str:
    """The message with commands and options in place of calls and arguments."""
    for said, instead in _PHRASES:
        message = message.replace(said, instead)
    message = _TARGET.sub(r"--target \1:\2", _CALL.sub(_command, message))
    parts = _QUOTED.split(message)
    return "".join(part if at % 2 else _options(part) for at, part in enumerate(parts))


def _command(call: re.Match[str]) -> str:
    command = _COMMANDS.get(call[1])
    return call[0] if command is None else f"`tiervdb {command}`"


def _options(text: str) -> str:
    def option(found: re.Match[str]) -> str:
        value = found[2] or (found[4] or "").replace("None", "none")
        return f"--{found[1].replace('_', '-')}{' ' if value else ''}{value}"

    return re.sub(r"\bparams=", "--param", _OPTION.sub(option, text))
