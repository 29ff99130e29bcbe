"""OpenLineage's JSON Schema, read off the classes that its project generates from it.

No published package carries the schema's own files. The classes of openlineage-python have every
field of them, with its type and whether it is required; a value's type is checked by nothing there.
"""

import enum
import importlib
import pkgutil
import typing
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import attr
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import generated
from openlineage.client.generated import base

SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}
FORMATS = {"eventTime": "date-time", "runId": "uuid", "producer": "uri", "schemaURL": "uri"}
# jsonschema checks these two by packages that it does not need.
CHECKER = FormatChecker(formats=["uuid"])
FACETS = ("facets", "inputFacets", "outputFacets")


@CHECKER.checks("date-time", raises=ValueError)
def is_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


@CHECKER.checks("uri", raises=ValueError)
def is_uri(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme and parts.path)


def problems(event: dict[str, Any]) -> list[str]:
    """What is wrong with an event, and with each of its facets; nothing for a valid one."""
    wrong = _problems(event, base.RunEvent, "event")
    holders = [event["run"], event["job"], *event.get("inputs", []), *event.get("outputs", [])]
    for holder in holders:
        for kind in FACETS:
            for name, facet in (holder.get(kind) or {}).items():
                url, _, kept_as = facet["_schemaURL"].partition("#/$defs/")
                assert url.startswith("https://openlineage.io/spec/facets/"), url
                wrong += _problems(facet, _classes()[kept_as], name)
    return wrong


def _problems(value: Any, of: Any, place: str) -> list[str]:
    validator = _validator(of)
    return [f"{place}{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@cache
def _validator(of: Any) -> Any:
    defs: dict[str, Any] = {}
    schema = {**_schema(of, defs), "$defs": defs}
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=CHECKER)


@cache
def _classes() -> dict[str, Any]:
    """Name -> class, of every facet."""
    classes = {}
    for found in pkgutil.iter_modules(generated.__path__):
        module = importlib.import_module(f"{generated.__name__}.{found.name}")
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__:
                classes[name] = value
    return classes


def _schema(of: Any, defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type: a class of attrs, an enumeration, a list, an optional value, ...

    Args:
        of: The type.
        defs: The schemas of classes by name, to which those that the type uses are added.
    """
    if of in SIMPLE:
        return SIMPLE[of]
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return {"enum": [member.value for member in of]}
    if attr.has(of):
        name = f"{of.__module__}.{of.__name__}"
        if name not in defs:
            defs[name] = {}  # a class may hold others of its kind
            defs[name] = _schema_of_class(of, defs)
        return {"$ref": f"#/$defs/{name}"}

    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], defs)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], defs)}
    return {"anyOf": [_schema(argument, defs) for argument in arguments]}


def _schema_of_class(of: Any, defs: dict[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for cls in reversed(of.__mro__):
        hints |= typing.get_type_hints(cls)

    properties, required = {}, ["producer", "schemaURL", "_producer", "_schemaURL"]
    for field in attr.fields(of):
        if field.name in FORMATS:
            properties[field.name] = {"type": "string", "format": FORMATS[field.name]}
        elif field.name in FACETS:  # each is checked by itself
            properties[field.name] = {"type": "object"}
        else:
            properties[field.name] = _schema(hints[field.name], defs)
        if field.default is attr.NOTHING:
            required.append(field.name)
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in required if name in properties],
        "additionalProperties": False,
    }
