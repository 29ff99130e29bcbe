"""Every setting that a message names exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config
from tests.support import CHECKOUT

PLACES = ("components", "pipeline", "seqline", "serving")
# Section of the configuration -> its settings.
SETTINGS = {
    name: set(field.annotation.model_fields)
    for name, field in Config.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
# Stands for what an f-string fills in.
FILLED_IN = "\0"
NAMED = re.compile(rf"(?<![\w./])({'|'.join(SETTINGS)})\.([a-z_0-9]+)(?![\w{FILLED_IN}(/])")


def strings(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of the strings of a module that are not docstrings."""
    tree = ast.parse(source)
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))  # a docstring
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}

    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [
                part.value if isinstance(part, ast.Constant) else FILLED_IN for part in node.values
            ]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            yield node.lineno, str(node.value)


def unknown_settings(source: str) -> list[tuple[int, str]]:
    """(line, setting) of the settings in strings that no section has."""
    return [
        (line, f"{section}.{name}")
        for line, text in strings(source)
        for section, name in NAMED.findall(text)
        if name not in SETTINGS[section] and name not in ("py", "pb", "json")
    ]


@pytest.mark.parametrize("place", PLACES)
def test_the_settings_that_messages_name_exist(place: str) -> None:
    unknown = {
        f"{path.relative_to(CHECKOUT)}:{line}": setting
        for path in sorted(Path(CHECKOUT, place).rglob("*.py"))
        for line, setting in unknown_settings(path.read_text(encoding="utf-8"))
    }
    assert unknown == {}


def test_a_setting_that_does_not_exist_is_found() -> None:
    source = (
        'raise ValueError("raise example_gen.train_fraction")\n'
        'raise ValueError(f"{x}: set trainer.rnn_unit or trainer.{y}, trainer.rnn_{y}")\n'
        'raise ValueError("trainer.rnn_units, components.trainer.loop, trainer.py")\n'
    )
    assert unknown_settings(source) == [
        (1, "example_gen.train_fraction"),
        (2, "trainer.rnn_unit"),
    ]
