"""answers.jsonl: the first rows of test as requests, with the evaluator's answers.

Imports nothing heavy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, FiniteFloat

from seqline.errors import UserError
from seqline.storage import records


@dataclass(frozen=True)
class Answer:
    """A line of answers.jsonl.

    Attributes:
        row: The row as a JSON request of `serving_default` has it.
        probabilities: The probability of each class.
        label, class_id: The likeliest class; None where the model does not tell it.
    """

    row: Annotated[dict[str, Any], Field(min_length=1)]
    probabilities: Annotated[list[FiniteFloat], Field(min_length=1)]
    label: str | None = None
    class_id: int | None = None


def read_answers(path: Path) -> list[Answer]:
    """Reads an answers.jsonl.

    Raises:
        UserError: The file is missing or damaged.
    """
    way_out = records.MADE_AGAIN
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise UserError(f"{path} is missing. {way_out}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}). {way_out}") from None

    if lines.pop():
        raise records.damaged(path, "its last line is not whole", way_out)
    if not lines:
        raise records.damaged(path, "it holds no row", way_out)
    answers = []
    for number, line in enumerate(lines, start=1):
        place = f"{path}, line {number},"
        content = records.parse_object(line, place, way_out)
        answers.append(records.parse(Answer, content, place, way_out))
    return answers
