"""The compiled template in the user's cache."""

from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from pipeline.report.compiled import CompiledTemplates


def render(source: str) -> str:
    environment = Environment(
        loader=DictLoader({"page": source}), bytecode_cache=CompiledTemplates()
    )
    return environment.get_template("page").render(name="you")


def exchange_code(file: Path, other: Path) -> None:
    file.write_bytes(other.read_bytes())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "templates"


def test_it_is_kept_by_its_source_and_read_again(folder: Path) -> None:
    assert render("hello {{ name }}") == "hello you"
    [first] = folder.iterdir()
    assert render("goodbye {{ name }}") == "goodbye you"
    [second] = set(folder.iterdir()) - {first}

    # That the file is used shows when it holds another template.
    exchange_code(first, second)
    assert render("hello {{ name }}") == "goodbye you"


@pytest.mark.parametrize("damage", ["", "short", "x" * 1000])
def test_a_damaged_file_is_not_used(folder: Path, damage: str) -> None:
    render("hello {{ name }}")
    [file] = folder.iterdir()
    file.write_text(damage)
    assert render("hello {{ name }}") == "hello you"
    assert list(folder.iterdir()) == [file]  # written again
    assert file.read_bytes() != damage.encode()


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_may_write_is_not_used(folder: Path, which: str) -> None:
    render("hello {{ name }}")
    [first] = folder.iterdir()
    render("goodbye {{ name }}")
    [second] = set(folder.iterdir()) - {first}
    exchange_code(first, second)

    (first if which == "file" else folder).chmod(0o777)
    assert render("hello {{ name }}") == "hello you"


def test_a_cache_that_cannot_be_written_is_none(folder: Path) -> None:
    folder.parent.write_text("a file")
    assert render("hello {{ name }}") == "hello you"
