"""Names of nested fields: `review.text` is the field `text` of the object `review`."""

from collections.abc import Iterator, Mapping
from typing import Any

# What `look_up` returns for a field that a row does not have; None may be its value.
MISSING: Any = object()
# Names that a message lists, at most: an object may have thousands of fields.
MAX_PATHS = 200


def parts(name: str) -> list[str]:
    """The names on the way to a field, from the outermost. A name without dots is its own."""
    return name.split(".")


def look_up(row: Mapping[str, Any], name: str) -> Any:
    """The value of a field. A field of exactly this name comes first, then the way by its dots.

    A number on the way is a place in a list, from 0.

    Returns:
        MISSING where the row, or an object on the way, does not have it.
    """
    if name in row:
        return row[name]

    value: Any = row
    for part in parts(name):
        if isinstance(value, Mapping):
            value = value.get(part, MISSING)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def paths(row: Mapping[str, Any]) -> list[str]:
    """The names of a row's fields, each followed by those of the fields within it."""
    names = []
    for name in _paths(row, ""):
        names.append(name)
        if len(names) == MAX_PATHS:
            break
    return names


def _paths(row: Mapping[str, Any], before: str) -> Iterator[str]:
    for name, value in row.items():
        yield f"{before}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{before}{name}.")


def fields_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row that are not objects, by the names that `look_up` finds them by.

    Of a list of objects there are the fields of its first one, such as `messages.0.content`.
    """
    fields = {}
    for name, value in _leaves(row, ""):
        if look_up(row, name) is value:
            fields[name] = value
        if len(fields) == MAX_PATHS:
            break
    return fields


def _leaves(row: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield from _leaves(value[0], f"{before}{name}.0.")
        else:
            yield f"{before}{name}", value
