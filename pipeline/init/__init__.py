"""`seqline init`: looks at data, and writes a configuration for it.

  look.py     the beginning of the data: format, columns, what they hold
  choose.py   which column is the content and which the label
  write.py    the configuration, with comments and a threshold for every gate
  command.py  the command

Needs neither TensorFlow nor Beam, and reads 100,000 rows (16 MB) at most.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from pipeline import environment

SECTION = "example_gen."


def in_memory(
    source: str, settings: Sequence[str], text: str | None, label: str | None, command: str
) -> dict[str, Any]:
    """The configuration of data that are named instead of a file.

    Its content, as a TOML file would have it.

    What the settings and flags say is left to them. Raises UserError where the columns of content
    and label have to be named: with those that may be meant, and the command.
    """
    from pipeline.config import default_name
    from pipeline.init import choose, look

    name = default_name(look.stem(source))
    example_gen: dict[str, Any] = {"source": source}
    if source.startswith("tfds:"):
        return {"name": name, "example_gen": example_gen}
    said = _said(settings)
    asked = {key: value for key, value in (("text", text), ("label", label)) if value is not None}
    asked = {key: said[key] for key in ("text", "label") if key in said} | asked
    given = {f"{SECTION}{key}" for key in {*said, *asked}}
    found = look.look(source, said.get("encoding"), said.get("delimiter"))
    for key, value in asked.items():
        if value not in found.names and not found.has_classes:
            from seqline.errors import UserError
            from seqline.suggest import suggestion

            hint = suggestion(value, found.names)
            raise UserError(
                f"{key} {value!r}: {found.file} has no such column; it has"
                f" {', '.join(map(repr, found.names))}.{hint}"
            )
    example_gen |= {
        key: value for key, value in found.reading().items() if f"example_gen.{key}" not in given
    }
    missing = [
        key
        for key in ("text", "label")
        if f"example_gen.{key}" not in given and key not in found.names and not found.has_classes
    ]
    if missing:
        from seqline.errors import UserError

        choice = choose.choose(found, asked.get("text"), asked.get("label"))
        content = asked.get("text") or choice.text
        # Too few rows to tell a label by its values: the last other column, where labels mostly
        # are.
        other = next((column for column in reversed(found.names) if column != content), None)
        flags = {"text": content, "label": asked.get("label") or choice.label or other}
        proposed = " ".join(
            [
                command,
                shlex.quote(source),
                *(f"--{key} {shlex.quote(value)}" for key, value in flags.items() if value),
            ]
        )
        way = (
            f"Say which ones they are, such as: {proposed}"
            if all(flags.values())
            else f"Say which: {command} ... --text NAME --label NAME"
        )
        raise UserError(
            f"{found.file} has no column {' and none '.join(map(repr, missing))}; it has"
            f" {', '.join(map(repr, found.names))}. {way}"
        )
    configuration: dict[str, Any] = {"name": name, "example_gen": example_gen}
    if found.has_classes:
        return configuration
    column = found.column(asked.get("text") or "text")
    contents = choose.content_of(column)
    if contents.content == "text":
        if choose.needs_characters([value for value in column.there if isinstance(value, str)]):
            configuration["transform"] = {"tokens": "char"}  # settings are laid over it
    elif "example_gen.content" not in given:
        example_gen |= {
            "content": contents.content,
            **({"dim": contents.dim} if contents.dim else {}),
        }
    return configuration


def _said(settings: Sequence[str]) -> dict[str, str]:
    """What the environment and `--set`, which comes before it, say of example_gen, where it is a
    string.
    """
    from pipeline.config import toml_value

    pairs = [(name, value) for name, (_, value) in environment.settings().items()]
    pairs += [
        (name.strip(), value) for name, _, value in (setting.partition("=") for setting in settings)
    ]
    found = {
        name.removeprefix(SECTION): toml_value(value)
        for name, value in pairs
        if name.startswith(SECTION)
    }
    return {name: value for name, value in found.items() if isinstance(value, str)}
