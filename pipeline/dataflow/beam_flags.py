"""Flags of Beam's that are misspelt: Beam ignores a flag that it does not know, in silence.

The flags are read from Beam's source, because importing Beam takes seconds.
"""

import ast
import difflib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

OPTIONS = "options/pipeline_options.py"
# Functions of Beam's, and of argparse, that declare a flag.
DECLARE = ("add_argument", "add_value_provider_argument")
SWITCHES = ("store_true", "store_false", "store_const")


SWITCH, INTEGER, TEXT = "switch", "integer", "text"


@cache
def known() -> dict[str, str]:
    """Name of each flag of Beam's, without dashes -> SWITCH, or what its value is.

    Returns:
        Nothing where Beam's source is not where it has always been.
    """
    package = find_spec("apache_beam")
    places = list(package.submodule_search_locations or []) if package else []
    if not places or not Path(places[0], OPTIONS).is_file():
        return {}

    flags: dict[str, str] = {}
    for call in ast.walk(ast.parse(Path(places[0], OPTIONS).read_bytes())):
        if (
            not isinstance(call, ast.Call)
            or not isinstance(call.func, ast.Attribute)
            or call.func.attr not in DECLARE
        ):
            continue
        kind = _kind(call)
        for argument in call.args:
            if isinstance(argument, ast.Constant) and str(argument.value).startswith("--"):
                flags[str(argument.value)[2:]] = kind
    return flags


def _kind(call: ast.Call) -> str:
    for keyword in call.keywords:
        value = keyword.value
        if keyword.arg == "action" and getattr(value, "value", None) in SWITCHES:
            return SWITCH
        if keyword.arg == "type" and isinstance(value, ast.Name) and value.id == "int":
            return INTEGER
    return TEXT


def problems(beam_args: Sequence[str]) -> Iterator[str]:
    """What Beam would ignore, or refuse with its usage: one sentence each."""
    flags = known()
    if not flags:
        return

    wants_value = ""
    for argument in beam_args:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            if not wants_value:
                yield _stray(argument, flags)
            elif flags[wants_value] == INTEGER:
                yield from _not_integer(wants_value, argument)
            wants_value = ""
            continue

        if wants_value:
            yield _without_value(wants_value)
        wants_value = ""
        if name not in flags:
            yield _unknown(argument, name, flags)
        elif flags[name] == SWITCH:
            if equals:
                yield f"{argument}: a switch takes no value; write --{name}, or leave it out"
        elif not equals:
            wants_value = name
        elif not value:
            yield _without_value(name)
        elif flags[name] == INTEGER:
            yield from _not_integer(name, value)
    if wants_value:
        yield _without_value(wants_value)


def _not_integer(name: str, value: str) -> Iterator[str]:
    try:
        int(value)
    except ValueError:
        yield f"--{name}={value} is not a whole number: write --{name}=20, say"


def _without_value(name: str) -> str:
    return f"--{name} has no value: write --{name}=..."


def _unknown(argument: str, name: str, flags: dict[str, str]) -> str:
    closest = _closest(name, flags)
    hint = f"did you mean --{closest}?" if closest else "correct it, or leave it out"
    return f"{argument} is not a flag of Beam, which would ignore it: {hint}"


def _stray(argument: str, flags: dict[str, str]) -> str:
    name = argument.lstrip("-").partition("=")[0]
    closest = name if name in flags else _closest(name, flags)
    hint = f"did you mean --{closest}?" if closest else "flags begin with --"
    return f"{argument!r} belongs to no flag, and Beam would ignore it: {hint}"


def _closest(name: str, flags: dict[str, str]) -> str:
    """The flag that a name is meant for, "" if none is like it."""
    plain = name.replace("-", "_").lower()
    if plain in flags:
        return plain
    return next(iter(difflib.get_close_matches(plain, flags, 1, 0.75)), "")
