"""How the command line is parsed.

Commands are imported when they are called, a command's flags for Beam follow `--`, a record of
options stands for its options, and an error is one line.

Imports nothing heavy: every `seqline --help` imports this module.
"""

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_origin

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
    """A command whose module is imported when the command is called.

    Attributes:
        module: the module's name.
        summary: the command's line in `seqline --help`.
        name: the Typer in the module.
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
            module = importlib.import_module(lazy.module)
            command = typer.main.get_command(getattr(module, lazy.name))
            command.name = cmd_name
            self.commands[cmd_name] = command
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            hint = suggestion(args[0], known) or f" The commands are {', '.join(known)}."
            raise UsageError(f"{ctx.command_path} has no command {args[0]!r}.{hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Lists the commands without importing those that are lazy."""
        rows = []
        for name in self.list_commands(ctx):
            lazy = self.lazy.get(name)
            summary = lazy.summary if lazy else self.commands[name].get_short_help_str(200)
            rows.append((name, summary))

        with formatter.section("Commands"):
            formatter.write_dl(rows)


class BeamCommand(TyperCommand):
    """A command that hands what follows `--` to Beam: see `beam_args`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own, beam = args, []
        if "--" in args:
            place = args.index("--")
            own, beam = args[:place], args[place + 1 :]
        ctx.meta[BEAM_ARGS] = beam
        return super().parse_args(ctx, own)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- BEAM FLAGS]"]


def beam_args(context: typer.Context) -> list[str]:
    """The flags after `--`."""
    return list(context.meta.get(BEAM_ARGS, []))


def single(function: Callable[..., Any], **settings: Any) -> typer.Typer:
    """A Typer of one command, for a `Lazy` to name.

    Args:
        function: the command. A parameter whose type is a dataclass is replaced by an option for
            each of its fields whose type is annotated as one.
        **settings: of typer's command.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(**settings)(_with_options_of_records(function))
    return app


def _with_options_of_records(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with an option in place of each field of its records."""
    signature = inspect.signature(function)
    parameters: list[inspect.Parameter] = []
    records: dict[str, tuple[Any, list[str]]] = {}  # parameter -> (its type, names of options)

    for parameter in signature.parameters.values():
        record: Any = parameter.annotation
        if not is_dataclass(record):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        options = [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=option.default,
                annotation=option.type,
            )
            for option in fields(record)
            if get_origin(option.type) is Annotated
        ]
        records[parameter.name] = record, [option.name for option in options]
        parameters += options

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        for name, (record, names) in records.items():
            given[name] = record(**{option: given.pop(option) for option in names})
        return function(**given)

    # typer reads both; a function's type does not know the first.
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in parameters}
    return command


def sentence(error: Any) -> str:
    """A usage error in one line, which names the command, the word, and the way out."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "seqline"
    if flag := getattr(error, "option_name", None):
        return _about_flag(error, ctx, path, flag)

    surplus = re.match(
        r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", error.message or "", re.DOTALL
    )
    if surplus:
        return (
            f"{path} does not take the word {surplus[1]!r} here; {path} --help lists what it takes."
            f"{_hint_of_beam(ctx)}"
        )

    parameter = getattr(error, "param", None)
    if parameter is None:
        return _flat(error.format_message())

    name = parameter.metavar or parameter.name.upper()
    if parameter.opts[0].startswith("-"):
        name = parameter.opts[-1]

    if not error.message:
        return _flat(f"{path} needs {name}: {parameter.help or 'a value'}")

    value = _given(parameter)
    given = "" if value is None else f" {value!r}"
    return _flat(f"{path} {name}{given}: {error.message[:1].lower()}{error.message[1:]}")


def _about_flag(error: Any, ctx: Any, path: str, flag: str) -> str:
    """A flag that the command does not have, or one that it has and that was given wrongly."""
    known: list[str] = []
    if ctx:
        known = [name for parameter in ctx.command.get_params(ctx) for name in parameter.opts]

    if flag in known or not hasattr(error, "possibilities"):
        return f"{path}: {_flat(error.format_message())} {path} --help tells more."
    hint = suggested_flag(flag, known, f"{path} --help")
    return f"{path} has no flag {flag}.{hint}{_hint_of_beam(ctx)}"


def _given(parameter: Any) -> str | None:
    """The value of an option on the command line, or in the environment."""
    words = sys.argv[1:]
    for number, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in parameter.opts:
            if equals:
                return value
            return words[number + 1] if number + 1 < len(words) else None

    variables = parameter.envvar or []
    if isinstance(variables, str):
        variables = [variables]
    for name in variables:
        if name in os.environ:
            return os.environ[name]
    return None


def _flat(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?")) else f"{text}."


def _hint_of_beam(ctx: Any) -> str:
    has_beam = ctx is not None and isinstance(ctx.command, BeamCommand)
    return " Flags for Beam follow `--`." if has_beam else ""
