"""docs/reference/cli.md: every command with its arguments and options, as `--help` has them."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.cli.app import app
from tests.support.commands import commands_of

# What Markdown would take for markup, in prose.
MARKUP = re.compile(r"([*<|\\])")


def reference() -> str:
    """A section for each command that `seqline --help` lists."""
    return "\n".join(
        section
        for name, command in commands_of(app).items()
        if not command.hidden
        for section in _sections(f"seqline {name}", command)
    )


def _sections(name: str, command: Any) -> Iterator[str]:
    """The section of a command, and those of the commands in it."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    prose = _escaped(command.help.partition("\f")[0]).strip()
    rows = [
        f"| `{names}` | {_escaped(meaning)} |\n"
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) and "--help" not in parameter.opts
        for names, meaning in [record]
    ]
    table = "\n| argument or option | meaning |\n|---|---|\n" + "".join(rows) if rows else ""
    yield f"## {name}\n\n    {usage}\n\n{prose}\n{table}"

    for part, inner in getattr(command, "commands", {}).items():
        yield from _sections(f"{name} {part}", inner)


def _escaped(text: str) -> str:
    """The text as prose of Markdown; what is in backticks stays as it is."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"  +", " ", text))
    return "".join(part if part[:1] == "`" else MARKUP.sub(r"\\\1", part) for part in parts)
