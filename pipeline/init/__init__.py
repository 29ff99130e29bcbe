"""`seqline init`: inspects data, and writes a configuration for them.

  inspection.py   the beginning of the data: format, columns, what they hold
  layout.py       encoding, delimiter and quoting of text files
  header.py       whether a CSV file has a header, and names for columns without
  fast_text.py    files of rows whose format is none, with the way to one
  column.py       what the values and the name of a column tell
  choose.py       which column is the content and which is the label
  write.py        the configuration, with comments and a threshold for every gate

The command is pipeline/cli/init.py. None of it needs TensorFlow or Beam; it reads 100,000 rows, and
16 MB of text files, at most.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline import environment
from seqline.errors import UserError

if TYPE_CHECKING:
    from pipeline.init.inspection import Inspection

SECTION = "example_gen."
# Settings that say how the rows of a text file are read.
READING = ("encoding", "delimiter", "quoting", "columns")


def in_memory(
    source: str,
    settings: Sequence[str],
    text: Sequence[str] | None,
    label: str | None,
    command: str,
) -> dict[str, Any]:
    """The configuration of data that are named instead of a file, as a TOML file would hold it.

    Fields that settings or flags give are left out: those values are laid over it.

    Args:
        source: The data, as `example_gen.source`.
        settings: The `--set` of the command line, `name=value`.
        text: The flags `--text`.
        label: The flag `--label`.
        command: The command that the user typed, such as `seqline run`, for messages.

    Raises:
        UserError: The columns of content and label have to be named. The message says which may be
            meant, and the command that names them.
    """
    from pipeline.config import default_name
    from pipeline.init import choose, inspection

    name = default_name(inspection.stem(source))
    example_gen: dict[str, Any] = {"source": source}
    if source.startswith("tfds:"):
        return {"name": name, "example_gen": example_gen}

    said = _said(settings)
    columns: dict[str, Any] = {key: said[key] for key in ("text", "label") if key in said}
    if text:
        columns["text"] = list(text)
    if label is not None:
        columns["label"] = label

    for key, value in columns.items():
        columns[key] = [value] if isinstance(value, str) else value
        if not _are_names(columns[key]):
            # The configuration's own error says what is wrong with it.
            return {"name": name, "example_gen": example_gen}

    reading = {key: said[key] for key in READING if key in said}
    if not _can_be_right(reading):
        return {"name": name, "example_gen": example_gen}

    given = {*said, *columns}
    inspected = inspection.inspect(source, reading)

    configuration: dict[str, Any] = {"name": name, "example_gen": example_gen}
    example_gen |= {key: value for key, value in inspected.reading().items() if key not in given}
    if inspected.has_classes:
        return configuration

    call = [command, shlex.quote(source)]
    call += [f"--set {shlex.quote(setting)}" for setting in settings]
    _check_columns(columns, inspected, given, call)
    column = inspected.joined(columns.get("text", ["text"]))
    contents = choose.content_of(column)

    if contents.content == "text":
        texts = [value for value in column.filled if isinstance(value, str)]
        if choose.needs_characters(texts):
            configuration["transform"] = {"tokens": "char"}
    elif "content" not in given:
        example_gen["content"] = contents.content
        if contents.dim:
            example_gen["dim"] = contents.dim
    return configuration


def _said(settings: Sequence[str]) -> dict[str, Any]:
    """The values that the environment and `--set` give to fields of example_gen.

    `--set` overrides the environment.
    """
    from pipeline.toml_values import value_of

    pairs = [(name, value) for name, (_, value) in environment.settings().items()]
    for setting in settings:
        name, _, value = setting.partition("=")
        pairs.append((name.strip(), value))

    return {
        name.removeprefix(SECTION): value_of(value, name)
        for name, value in pairs
        if name.startswith(SECTION)
    }


def _are_names(value: Any) -> bool:
    """Whether a value is a list of strings, and not empty."""
    return isinstance(value, list) and value != [] and all(isinstance(name, str) for name in value)


def _can_be_right(reading: Mapping[str, Any]) -> bool:
    """Whether values are of the types that settings have; if not, the configuration says it."""
    strings = [value for key, value in reading.items() if key != "columns"]
    columns = reading.get("columns", [])
    return (
        all(isinstance(value, str) for value in strings)
        and reading.get("quoting", "auto") in ("auto", "double", "none")
        and (columns == [] or _are_names(columns))
    )


def _check_columns(
    columns: Mapping[str, Sequence[str]],
    inspected: "Inspection",
    given: set[str],
    call: Sequence[str],
) -> None:
    """Checks that the columns of content and label exist.

    Args:
        columns: Those that are named, by `text` and `label`.
        inspected: The data.
        given: Fields of example_gen that have a value.
        call: The command that the user typed: command, data and settings.
    """
    from seqline.suggest import suggestion

    names = inspected.names
    for key, column in ((key, name) for key, named in columns.items() for name in named):
        if column not in names:
            raise UserError(
                f"{key} {column!r}: {inspected.file} has no such column; it has"
                f" {', '.join(map(repr, names))}.{suggestion(column, names)}"
            )

    missing = [key for key in ("text", "label") if key not in given and key not in names]
    has_made_up_names = bool(inspected.header) and "columns" not in given
    if not missing and not has_made_up_names:
        return

    proposed = {key: named for key, named in _proposed(columns, inspected).items() if named}
    way = f"Say which: {call[0]} ... --text NAME --label NAME"
    if len(proposed) == 2:
        words = [*call]
        if has_made_up_names:
            # TOML strings are quoted as JSON's.
            header = json.dumps(list(inspected.header), ensure_ascii=False)
            words.append(f"--set {shlex.quote(f'{SECTION}columns={header}')}")
        words += [
            f"--{key} {shlex.quote(column)}"
            for key, named in proposed.items()
            for column in named
            if [column] != [key]
        ]
        way = f"Say which ones they are, such as: {' '.join(words)}"
    if has_made_up_names:
        raise UserError(
            f"{inspected.file} has no header: its first line is a row, so its"
            f" {len(inspected.header)} columns have to be named. {way}"
        )
    notes = "".join(f" {note}" for note in inspected.notes)
    raise UserError(
        f"{inspected.file} has no column {' and none '.join(map(repr, missing))}; it has"
        f" {', '.join(map(repr, names))}.{notes} {way}"
    )


def _proposed(
    columns: Mapping[str, Sequence[str]], inspected: "Inspection"
) -> dict[str, list[str]]:
    """The columns that may be meant, by `text` and `label`."""
    from pipeline.init import choose

    label = next(iter(columns.get("label", [])), None)
    choice = choose.choose(inspected, columns.get("text", []), label)
    # Rows may be too few to tell a label by its values. Labels are mostly in the last column.
    last = [name for name in reversed(inspected.names) if name not in choice.text][:1]
    return {
        "text": list(choice.text),
        "label": [choice.label] if choice.label else last,
    }
