"""The digest of a component's own code, which is part of its keys.

Each content of a source file is parsed once. The result is kept in the user's cache (SEQLINE_CACHE,
or ~/.cache/seqline) under the digest of that content, so that no clock and no place decides what is
new. The cache's name holds the Python version and the digest of this module.
"""

import ast
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from seqline.digests import digest
from seqline.host.cache import cache_folder
from seqline.storage.files import parse_object
from seqline.storage.staging import writing

CHECKOUT = Path(__file__).parent.parent.parent
# The rooms whose code shapes an artifact.
ROOMS = ("components", "seqline")
# No key follows the code in these folders: where bytes are, where work is done and what the machine
# has do not shape an artifact.
NOT_IN_KEYS = ("seqline.storage", "seqline.jobs", "seqline.host")
# Nor the code of the public Python API, which stands above the components.
FACES = ("seqline", "seqline.sklearn")
# The cache keeps this many contents at most; each change of a file adds one.
MAX_CONTENTS = 5000

# (The digest of a file's code, the names that it imports from ROOMS).
Source = tuple[str, list[str]]


@cache
def code_digest(module: str, checkout: Path = CHECKOUT) -> str:
    """A digest of a component's source and of all that it imports from components/ and seqline/.

    Comments, docstrings and layout do not count: nothing runs again for them.

    Args:
        module: where the component's `run` is defined, such as "components.trainer".
        checkout: the folder with ROOMS.
    """
    sources: dict[str, str] = {}
    todo = {_module_file(module, checkout)}
    while todo:
        path = todo.pop()
        name = path.relative_to(checkout).as_posix()
        if name not in sources:
            sources[name], imported = _source(path, checkout)
            todo |= imported

    _memory().save()
    return digest(sources)


@cache
def _source(path: Path, checkout: Path) -> tuple[str, frozenset[Path]]:
    """(the digest of a file's code, the files that it imports, as far as a key follows them)."""
    code, names = _memory().get(path.read_bytes())
    return code, frozenset(_files(names, checkout))


def parse(content: bytes) -> Source:
    """The digest and the imports of a source file's content."""
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
    text within an f-string, which 3.12 adds.
    """
    if isinstance(node, ast.JoinedStr):
        return ["JoinedStr", *(_plain(value) for value in node.values if not _is_empty(value))]
    if isinstance(node, ast.AST):
        fields = [
            [name, _plain(value)]
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return [type(node).__name__, *fields]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return repr(node)


def _is_empty(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value == ""


@cache
def _module_file(module: str, checkout: Path) -> Path:
    path = checkout.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(node: ast.ImportFrom) -> list[str]:
    if node.module and node.module.split(".")[0] in ROOMS:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _files(names: list[str], checkout: Path) -> Iterator[Path]:
    for name in names:
        if name in FACES or f"{name}.".startswith(tuple(f"{folder}." for folder in NOT_IN_KEYS)):
            continue
        file = _module_file(name, checkout)
        if _is_file(file):
            yield file


@cache
def _is_file(path: Path) -> bool:
    return path.is_file()


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
    """The digest of a content -> its `Source`, kept in a file.

    A file that is damaged or cannot be written counts as empty.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.is_new = False
        self.sources: dict[str, list] = {}
        with suppress(OSError):
            self.sources = parse_object(file.read_bytes()) or {}

    def get(self, content: bytes) -> Source:
        """The source of a file's content, parsed if it is not known yet."""
        key = blake2b(content, digest_size=16).hexdigest()
        entry = self.sources.get(key)
        if isinstance(entry, list) and len(entry) == 3:
            code, names, check = entry
            if check == digest([key, code, names]):
                return code, names

        source = parse(content)
        self.sources[key] = [*source, digest([key, *source])]
        self.is_new = True
        return source

    def save(self) -> None:
        """Writes the file, which many processes may share.

        Contents that another process added meanwhile are lost, and will be parsed again.
        """
        if not self.is_new:
            return
        self.is_new = False

        newest = dict(list(self.sources.items())[-MAX_CONTENTS:])
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with writing(self.file) as part:
                Path(part).write_text(json.dumps(newest), encoding="utf-8")


@cache
def _memory() -> Memory:
    version = digest([sys.version, Path(__file__).read_text(encoding="utf-8")])
    return Memory(cache_folder() / "code" / f"{version}.json")
