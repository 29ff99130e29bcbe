"""A chunk's predictions as JSON lines or tf.Examples."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.bulk_inferrer.model import AnsweredChunk
from seqline.data import features, tf_example_writer
from seqline.rows.row import Row

FILE = "file"
LINE = "line"
CLASS_ID = "class_id"
PROBABILITIES = "probabilities"
# As `seqline predict` rounds them.
DIGITS = 6
# Rows whose probabilities are Python's numbers at once.
BLOCK_ROWS = 64

SUFFIXES = {"jsonl": ".jsonl", "tfrecord": ".tfrecord.gz"}


def kept_names(keep: Sequence[str]) -> list[str]:
    """The names of the kept columns among the fields of a prediction.

    A column keeps its name unless a prediction has a field of this name. Then it is called
    `source_<name>`, with as many `source_` as make it a name of its own.
    """
    own = {
        FILE,
        LINE,
        features.TEXT,
        features.TOKENS,
        features.SEQUENCE,
        features.LABEL,
        CLASS_ID,
        PROBABILITIES,
    }
    taken = own | set(keep)
    names = []
    for name in keep:
        if name in own:
            while name in taken:
                name = f"source_{name}"
            taken.add(name)
        names.append(name)
    return names


def json_lines(
    answered: AnsweredChunk, content: str | None, keep: Sequence[str]
) -> Iterator[bytes]:
    """The predictions as JSON lines.

    Args:
        answered: The rows with their answers.
        content: The field for the content of a row, or None to leave it out.
        keep: The kept columns.
    """
    encode = json.JSONEncoder(ensure_ascii=False).encode
    names = kept_names(keep)
    probabilities = _rounded(answered.probabilities)
    rows, class_ids = answered.chunk.rows, answered.class_id.tolist()
    answers = zip(rows, answered.labels, class_ids, probabilities, strict=True)

    for row, label, class_id, probability in answers:
        fields: dict[str, Any] = {
            FILE: row.file,
            LINE: row.line,
            **dict(zip(names, row.kept[: len(names)], strict=True)),
        }
        if content is not None:
            fields[content] = _to_json(row, len(names))

        fields |= {features.LABEL: label.decode(), CLASS_ID: class_id, PROBABILITIES: probability}
        # "replace": a path that is not UTF-8 holds lone surrogates.
        yield encode(fields).encode("utf-8", "replace") + b"\n"


def _rounded(probabilities: np.ndarray) -> Iterator[list[float]]:
    """The rounded probabilities of each row, few at a time: lists take eight times the memory."""
    for first in range(0, len(probabilities), BLOCK_ROWS):
        block = probabilities[first : first + BLOCK_ROWS].astype(np.float64)
        yield from np.round(block, DIGITS).tolist()


def _to_json(row: Row, num_kept: int) -> Any:
    """The content of a row. The numbers of a sequence are those of the source, not float32."""
    if isinstance(row.content, bytes):
        return row.content.decode()
    if isinstance(row.content, list):
        return [token.decode() for token in row.content]

    given = row.kept[num_kept]  # see `source.row_format`
    if isinstance(given, str):  # a cell of a CSV file
        given = json.loads(given)
    if isinstance(given[0], list):
        return given
    dim = row.content.shape[1]
    return [given[start : start + dim] for start in range(0, len(given), dim)]


def tf_examples(
    answered: AnsweredChunk, content: str | None, keep: Sequence[str]
) -> Iterator[bytes]:
    """The predictions as serialized tf.Examples.

    A feature has one type, so the values of kept columns are strings: numbers and lists are JSON,
    and null is no value.

    Args:
        answered: The rows with their answers.
        content: The feature for the content of a row, or None to leave it out.
        keep: The kept columns.
    """
    rows = answered.chunk.rows
    ones = np.ones(len(rows), np.int64)
    paths = [row.file.encode("utf-8", "replace") for row in rows]
    lines = np.array([row.line for row in rows], np.int64)
    columns: dict[str, list[bytes]] = {
        FILE: tf_example_writer.few_bytes_features(FILE, paths),
        LINE: tf_example_writer.int_lists(LINE, lines, ones),
        features.LABEL: tf_example_writer.few_bytes_features(features.LABEL, answered.labels),
        CLASS_ID: tf_example_writer.few_int_features(CLASS_ID, answered.class_id),
        PROBABILITIES: tf_example_writer.float_lists(
            PROBABILITIES, answered.probabilities.ravel(), ones * answered.probabilities.shape[1]
        ),
    }

    if content is not None:
        columns[content] = _content(content, [row.content for row in rows])

    for column, name in enumerate(kept_names(keep)):
        values = [_strings(row.kept[column]) for row in rows]
        columns[name] = tf_example_writer.bytes_lists(name, values)

    return tf_example_writer.examples([columns[name] for name in sorted(columns, key=str.encode)])


def _content(name: str, contents: Sequence[Any]) -> list[bytes]:
    if name == features.TEXT:
        return tf_example_writer.bytes_features(name, contents)
    if name == features.TOKENS:
        return tf_example_writer.bytes_lists(name, contents)

    return tf_example_writer.float_lists(
        name,
        np.concatenate([row.ravel() for row in contents]),
        np.array([row.size for row in contents], np.int64),
    )


def _strings(value: Any) -> list[bytes]:
    if value is None:
        return []
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [text.encode()]


def counts(answered: AnsweredChunk) -> Mapping[str, int]:
    """Label -> rows that are predicted to have it."""
    num_rows = Counter(answered.labels)
    return {label.decode(): num_rows[label] for label in sorted(num_rows)}
