"""The digest of a component's own code, which is part of its keys.

Parsed once for each content of a file.

What a file's content comes to is remembered in the user's cache (SEQLINE_CACHE, or
~/.cache/seqline) under the digest of that content: no clock and no place decides what is new. The
file's name holds the Python version and the digest of this module.
"""

import ast
import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from seqline.digests import digest

CHECKOUT = Path(__file__).parent.parent.parent
# The rooms whose code shapes what a component makes.
ROOMS = ("components", "seqline")
# Where bytes lie, where work is done, and what the machine has shape nothing: no key follows the
# code in these folders.
NOT_IN_KEYS = ("seqline.storage", "seqline.jobs", "seqline.host")
# Contents that are remembered, at most; each change of a file adds one.
MOST_REMEMBERED = 5000

# The digest of a file's code, and the names that it imports from components.
Source = tuple[str, list[str]]


@cache
def code_digest(module: str) -> str:
    """A digest of a component's source and of the modules that it imports, of its own package and
    of seqline/.

    Comments, docstrings and layout do not count: nothing runs again for them.
    """
    sources: dict[str, str] = {}
    todo = {_module_file(module)}
    while todo:
        path = todo.pop()
        name = path.relative_to(CHECKOUT).as_posix()
        if name not in sources:
            sources[name], imported = _source(path)
            todo |= imported
    _memory().save()
    return digest(sources)


@cache
def _source(path: Path) -> tuple[str, frozenset[Path]]:
    """(the digest of a file's code, the files that it imports, as far as a key follows them)."""
    content = path.read_bytes()
    found, names = _memory().get(content)
    return found, frozenset(_files(names))


def parse(content: bytes) -> Source:
    """What the content of a source file comes to."""
    tree = ast.parse(content)
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names += _imported(node)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return digest(_plain(tree)), names


def _plain(node: Any) -> Any:
    """The syntax tree as lists, the same on every Python from 3.11 to 3.13.

    `ast.dump` is not: from 3.13 on it leaves empty fields out, and later versions add fields, such
    as `type_params`. Here a field that is empty or None is always left out, and so is an empty
    piece of an f-string, which 3.12 adds.
    """
    if isinstance(node, ast.JoinedStr):
        return ["JoinedStr", *(_plain(piece) for piece in node.values if not _is_empty(piece))]
    if isinstance(node, ast.AST):
        fields = [
            [name, _plain(value)]
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return [type(node).__name__, *fields]
    if isinstance(node, list):
        return [_plain(each) for each in node]
    return repr(node)


def _is_empty(piece: ast.expr) -> bool:
    return isinstance(piece, ast.Constant) and piece.value == ""


def _module_file(module: str) -> Path:
    path = CHECKOUT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(node: ast.ImportFrom) -> list[str]:
    if node.module and node.module.split(".")[0] in ROOMS:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _files(names: list[str]) -> Iterator[Path]:
    for name in names:
        if f"{name}.".startswith(tuple(f"{folder}." for folder in NOT_IN_KEYS)):
            continue
        file = _module_file(name)
        if file.is_file():
            yield file


def _drop_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        node.body[0] = ast.Pass()


class Memory:
    """The digest of a content -> what it comes to, in a file.

    One that is broken or cannot be written is none.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.is_new = False
        self.found: dict[str, list] = {}
        with suppress(OSError, ValueError, RecursionError):
            content = json.loads(file.read_text(encoding="utf-8"))
            self.found = content if isinstance(content, dict) else {}

    def get(self, content: bytes) -> Source:
        key = blake2b(content, digest_size=16).hexdigest()
        entry = self.found.get(key)
        if (
            isinstance(entry, list)
            and len(entry) == 3
            and entry[2] == digest([key, entry[0], entry[1]])
        ):
            return entry[0], entry[1]
        found = parse(content)
        self.found[key] = [*found, digest([key, *found])]
        self.is_new = True
        return found

    def save(self) -> None:
        """By a rename, so that many processes may share the file.

        What another one added meanwhile is found out again.
        """
        if not self.is_new:
            return
        self.is_new = False
        part = self.file.with_name(f"{self.file.name}.{uuid.uuid4().hex}")
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.write_text(
                    json.dumps(dict(list(self.found.items())[-MOST_REMEMBERED:])), encoding="utf-8"
                )
                part.replace(self.file)
            finally:
                part.unlink(missing_ok=True)


@cache
def _memory() -> Memory:
    base = (
        os.environ.get("SEQLINE_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqline"
    )
    how = digest([sys.version, Path(__file__).read_text(encoding="utf-8")])
    return Memory(Path(base) / "code" / f"{how}.json")
