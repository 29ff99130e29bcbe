"""How the command line is parsed.

Commands that load when they are called, flags for Beam after `--`, errors of one line.

Imports nothing heavy: every `seqline --help` reads it.
"""

import importlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from seqline.suggest import suggestion
from serving.arguments import EXIT_CODE, suggested_flag

# The base of what typer raises for a wrong word or flag; typer has exported it under several names.
UsageError: Any = typer.BadParameter.__mro__[1]
BEAM_ARGS = "seqline.beam_args"

__all__ = [
    "EXIT_CODE",
    "BeamCommand",
    "Group",
    "Lazy",
    "UsageError",
    "beam_args",
    "sentence",
    "single",
]


@dataclass(frozen=True)
class Lazy:
    """A command in a module that is imported when the command is called. summary.

    Its line in `seqline --help`.
    """

    module: str
    summary: str
    name: str = "app"


class Group(TyperGroup):
    """Commands that are imported when they are called, in the order of `lazy`; then any others."""

    lazy: Mapping[str, Lazy] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(dict.fromkeys([*self.lazy, *self.commands]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and (lazy := self.lazy.get(cmd_name)):
            found = typer.main.get_command(getattr(importlib.import_module(lazy.module), lazy.name))
            found.name = cmd_name
            self.commands[cmd_name] = found
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            known = self.list_commands(ctx)
            hint = suggestion(args[0], known) or f" The commands are {', '.join(known)}."
            raise UsageError(f"{ctx.command_path} has no command {args[0]!r}.{hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands, without importing those that are lazy."""
        rows = []
        for name in self.list_commands(ctx):
            lazy = self.lazy.get(name)
            summary = lazy.summary if lazy else self.commands[name].get_short_help_str(200)
            rows.append((name, summary))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class BeamCommand(TyperCommand):
    """A command that hands what follows `--` to Beam. `beam_args(context)` gives it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        mine, beam = (
            (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        )
        ctx.meta[BEAM_ARGS] = beam
        return super().parse_args(ctx, mine)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- BEAM FLAGS]"]


def single(function: Any, **settings: Any) -> typer.Typer:
    """A Typer of one command, for a `Lazy` to name."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(**settings)(function)
    return app


def beam_args(context: typer.Context) -> list[str]:
    """The flags after `--`."""
    return list(context.meta.get(BEAM_ARGS, []))


def sentence(error: Any) -> str:
    """A usage error as one line that names the command, the word, and the way out."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "seqline"
    help_ = f"{path} --help"
    if flag := getattr(error, "option_name", None):
        known = (
            [name for parameter in ctx.command.get_params(ctx) for name in parameter.opts]
            if ctx
            else []
        )
        if flag in known or not hasattr(error, "possibilities"):  # known, but not given well
            return f"{path}: {_flat(error.format_message())} {help_} tells more."
        return f"{path} has no flag {flag}.{suggested_flag(flag, known, help_)}{_hint_of_beam(ctx)}"
    if surplus := re.match(
        r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", error.message or "", re.DOTALL
    ):
        return (
            f"{path} does not take the word {surplus[1]!r} here; {help_} lists what it"
            f" takes.{_hint_of_beam(ctx)}"
        )
    parameter = getattr(error, "param", None)
    if parameter is None:
        return _flat(error.format_message())
    name = (
        parameter.opts[-1]
        if parameter.opts[0].startswith("-")
        else parameter.metavar or parameter.name.upper()
    )
    if not error.message:
        return _flat(f"{path} needs {name}: {parameter.help or 'a value'}")
    given = _given(parameter)
    return _flat(
        f"{path} {name}{'' if given is None else f' {given!r}'}:"
        f" {error.message[:1].lower()}{error.message[1:]}"
    )


def _given(parameter: Any) -> str | None:
    """The value of an option on the command line, or in the environment."""
    words = sys.argv[1:]
    for number, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in parameter.opts:
            return value if equals else words[number + 1] if number + 1 < len(words) else None
    return next(
        (os.environ[name] for name in [*_names(parameter.envvar)] if name in os.environ), None
    )


def _names(variables: Any) -> list[str]:
    return (
        [] if variables is None else [variables] if isinstance(variables, str) else list(variables)
    )


def _flat(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?")) else f"{text}."


def _hint_of_beam(ctx: Any) -> str:
    return (
        " Flags for Beam follow `--`."
        if ctx is not None and isinstance(ctx.command, BeamCommand)
        else ""
    )
