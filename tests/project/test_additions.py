"""docs/contributing is followed to the letter, in a copy of the tree: what it adds must work.

The steps are read from the pages: a heading names a file, the code block under it is what the page
tells the reader to write there.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import CHECKOUT

PAGES = CHECKOUT / "docs" / "contributing"
ROOMS = ("pipeline", "components", "serving", "seqline", "tests")
HEADING = re.compile(r"^## \d+\. [^\n]*`([\w/]+\.py)`$", re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(page: str) -> dict[str, str]:
    """The code of each step of a page, by the file that it belongs to."""
    text = (PAGES / page).read_text(encoding="utf-8")
    headings = list(HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    code = {}
    for heading, end in zip(headings, ends, strict=True):
        block = BLOCK.search(text, heading.end(), end)
        assert block, f"{page}: the step {heading[0]!r} has no code"
        code[heading[1]] = block[1]
    return code


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree, under git, so that a test can see what a page changed."""
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / room, tmp_path / room, ignore=ignored)
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, *("-c", "user.name=a", "-c", "user.email=a@b"), "commit", "--quiet", "-m", "copy")
    return tmp_path


def git(tree: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=tree, check=True, capture_output=True, text=True)
    return done.stdout


def create(tree: Path, file: str, code: str) -> None:
    path = tree / file
    assert not path.exists(), f"{file} exists already"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    if file.startswith("tests/"):  # a folder of tests is a package
        (path.parent / "__init__.py").touch()


def insert(tree: Path, file: str, code: str, after: str) -> None:
    """Puts code into a file, after the last line that begins like `after`."""
    path = tree / file
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    [*_, last] = [number for number, line in enumerate(lines) if line.startswith(after)]
    lines.insert(last + 1, code)
    path.write_text("".join(lines), encoding="utf-8")


def split_imports(code: str) -> tuple[str, str]:
    """(the import lines of a block, the others)."""
    lines = code.strip("\n").splitlines(keepends=True)
    imports = "".join(line for line in lines if line.startswith("from "))
    others = "".join(line for line in lines if not line.startswith("from ") and line.strip())
    return imports, others if others.endswith("\n") else others + "\n"


def run(tree: Path, *command: str) -> str:
    """Runs a Python command in the copy; returns its output."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def changed(tree: Path) -> dict[str, int]:
    """The files that differ from the copy, with the number of their changed lines."""
    git(tree, "add", "--all", "--intent-to-add")
    lines = git(tree, "diff", "--numstat").splitlines()
    numbers = [line.split("\t") for line in lines]
    return {name: int(added) + int(removed) for added, removed, name in numbers}


def test_adding_a_component(tree: Path) -> None:
    code = steps("component.md")
    package, definition, config, test = code
    create(tree, package, code[package])
    create(tree, test, code[test])
    for file, after in ((definition, "    "), (config, "    bulk_inferrer: ")):
        imports, line = split_imports(code[file])
        insert(tree, file, line, after)
        insert(tree, file, imports, "from components.")

    assert " passed" in run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    source = tree / "rows.jsonl"
    source.write_text('{"text": "a b", "label": "x"}\n' * 20)
    planned = run(tree, "-m", "pipeline", "plan", str(source))
    assert re.search(r"^row_counter +runs +\w+ +never ran", planned, re.MULTILINE), planned
    source.unlink()

    lines = changed(tree)
    assert set(lines) == {package, definition, config, test, f"{Path(test).parent}/__init__.py"}
    assert (lines[definition], lines[config]) == (2, 2)
    script = (
        "from seqline.jobs import shipping; print('components.row_counter' in shipping.packages())"
    )
    (tree / "setup.py").touch()
    assert run(tree, "-c", script) == "True\n"


def test_adding_a_source_format(tree: Path) -> None:
    code = steps("source_format.md")
    module, names, test = code
    create(tree, module, code[module])
    create(tree, test, code[test])
    path = tree / names
    text = path.read_text(encoding="utf-8")
    begin = text.index("def all_formats(")
    end = text.find("\n\n\n", begin)
    tail = text[end:] if end > 0 else ""
    path.write_text(text[:begin] + code[names].rstrip("\n") + (tail or "\n"), encoding="utf-8")

    assert " passed" in run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    rows = "".join(f"__label__{'ab'[row % 2]} text {row}\n" for row in range(40))
    (tree / "rows.ft").write_text(rows)
    script = (
        "from pathlib import Path\n"
        "from components.example_gen import ExampleGenParams, describe, run\n"
        "Path('examples').mkdir()\n"
        "if __name__ == '__main__':\n"
        "    params = ExampleGenParams(source='rows.ft')\n"
        "    print(describe(run(params=params, output=Path('examples'))))"
    )

    assert run(tree, "-c", script).splitlines()[-1].startswith("40 rows: ")
    shutil.rmtree(tree / "examples")
    (tree / "rows.ft").unlink()

    lines = changed(tree)
    assert set(lines) == {module, names, test}
    assert lines[names] <= 5


def test_adding_a_metric(tree: Path) -> None:
    code = steps("metric.md")
    function, value, field, shown, test = code
    insert(tree, function, f"\n\n{code[function]}", "")
    insert(tree, value, code[value], '        "ece":')
    insert(tree, field, code[field], "    ece: float")
    path = tree / shown
    text = path.read_text(encoding="utf-8")
    [before] = re.findall(r"^    names = \(.*\)\n", text, re.MULTILINE)
    path.write_text(text.replace(before, code[shown]), encoding="utf-8")
    imports, _, body = code[test].partition("\n\n\n")
    insert(tree, test, f"\n\n{body}", "")
    insert(tree, test, f"{imports}\n", "from components.")

    name = re.findall(r"^def (test_\w+)", body, re.MULTILINE)[0]
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", test, "-k", name)
    assert "1 passed" in run(tree, *command)

    lines = changed(tree)
    assert set(lines) == {function, value, field, shown, test}
    assert (lines[value], lines[field], lines[shown]) == (1, 1, 2)
