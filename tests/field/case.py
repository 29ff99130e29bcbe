"""One input of a user: its files, the settings it is read with, and what is right for it."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Rows that a case has where it says nothing else: half of each class, all different.
NUM_ROWS = 120
LABELS = ("pos", "neg")

Rows = list[tuple[str, str]]


def rows(num_rows: int = NUM_ROWS, labels: Sequence[str] = LABELS, start: int = 0) -> Rows:
    """(text, label): texts of five words, no two the same."""
    words = {
        0: ["good", "happy", "bright", "warm", "kind"],
        1: ["bad", "gloomy", "dark", "cold", "mean"],
    }
    made = []
    for number in range(start, start + num_rows):
        own = words[number % 2]
        text = f"{own[number % 4]} {own[number // 4 % 4]} day and {own[number // 16 % 4]} n{number}"
        made.append((text, labels[number % len(labels)]))
    return made


def csv(made: Rows, delimiter: str = ",", header: str | None = "text,label") -> str:
    """Lines without quotes: neither texts nor labels hold a delimiter."""
    lines = [] if header is None else [header.replace(",", delimiter)]
    lines += [f"{text}{delimiter}{label}" for text, label in made]
    return "\n".join(lines) + "\n"


def jsonl(made: Rows) -> str:
    """A JSON object a line."""
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in made)


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        num_rows: Rows in all splits; None where a stage refused the input.
        labels: The classes.
        said: All that a user would read: the stages' lines, warnings, the error.
        is_traceback: Whether an error was not one of ours.
    """

    num_rows: int | None
    labels: frozenset[str]
    said: str
    is_traceback: bool = False


@dataclass(frozen=True)
class Case:
    """An input.

    Attributes:
        item: The number of the kind in the list that the cases follow.
        make: Writes the files into a folder and returns the source.
        settings: Of example_gen, without its source.
        num_rows: Rows that are right; None where the input is to be refused.
        labels: Classes that are right.
        says: Regular expressions, each of which is found in what a user reads.
        never: One that is not.
    """

    item: int
    make: Callable[[Path], Any]
    settings: dict[str, Any] = field(default_factory=dict)
    num_rows: int | None = NUM_ROWS
    labels: tuple[str, ...] = LABELS
    says: tuple[str, ...] = ()
    never: str = "Traceback"

    def wrong(self, outcome: Outcome) -> str:
        """Why an outcome is wrong; empty where it is right."""
        if outcome.is_traceback:
            return "a traceback"
        if outcome.num_rows != self.num_rows:
            return f"{outcome.num_rows} rows, not {self.num_rows}"
        if self.num_rows is not None and outcome.labels != frozenset(self.labels):
            return f"classes {sorted(outcome.labels)}, not {sorted(self.labels)}"
        for pattern in self.says:
            if not re.search(pattern, outcome.said, re.IGNORECASE):
                return f"does not say {pattern!r}"
        return f"says {self.never!r}" if re.search(self.never, outcome.said) else ""


def run(case: Case, folder: Path) -> Outcome:
    """Writes a case's files and runs the stages up to example_validator on them."""
    from pydantic import ValidationError

    from components import example_gen, example_validator, schema_gen, statistics_gen
    from seqline.errors import UserError

    said: list[str] = []
    num_rows: dict[str, dict[str, int]] = {}
    places = {name: folder / "made" / name for name in ("examples", "statistics", "schema", "out")}
    for place in places.values():
        place.mkdir(parents=True)

    try:
        params = example_gen.ExampleGenParams(source=case.make(folder), **case.settings)
        example_gen.check(params)
        figures = example_gen.run(params=params, output=places["examples"])
        num_rows = figures["num_rows"]
        said += [example_gen.describe(figures), *figures["warnings"]]
        statistics_gen.run(
            examples=places["examples"],
            params=statistics_gen.StatisticsGenParams(),
            output=places["statistics"],
        )
        schema_gen.run(
            statistics=places["statistics"],
            params=schema_gen.SchemaGenParams(),
            output=places["schema"],
        )

        validator = example_validator.ExampleValidatorParams(tokens="word")
        found = example_validator.run(
            examples=places["examples"],
            statistics=places["statistics"],
            schema=places["schema"],
            params=validator,
            output=places["out"],
        )
        said += [example_validator.describe(found), *found["lines"]]
        example_validator.gate(places["out"], validator)
    except UserError as error:
        return Outcome(None, frozenset(), "\n".join([*said, f"error: {error}"]))
    except ValidationError as error:
        reasons = "; ".join(f"{each['loc']}: {each['msg']}" for each in error.errors())
        return Outcome(None, frozenset(), f"error: {reasons}")
    except Exception as error:  # Any other error is what the table is to show.
        return Outcome(None, frozenset(), f"{type(error).__name__}: {error}", is_traceback=True)

    labels = frozenset(label for counts in num_rows.values() for label in counts)
    total = sum(sum(counts.values()) for counts in num_rows.values())
    return Outcome(total, labels, "\n".join(said))
