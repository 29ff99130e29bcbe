"""The imports of the four rooms, read from the source: who imports whom, and in which circles.

`python -m tests.project.layers` prints the table of docs/architecture.md.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support import CHECKOUT

ROOMS = ("pipeline", "components", "serving", "seqline")


@dataclass(frozen=True, order=True)
class Import:
    """One module imports another, both by their dotted names; a package is its `__init__.py`.

    Attributes:
        importer: the module that imports.
        imported: the module that is imported.
        is_late: whether it happens inside a function, thus when that function is called.
    """

    importer: str
    imported: str
    is_late: bool

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported}"


@cache
def modules() -> dict[str, Path]:
    """Every module of the rooms with its file."""
    paths = {}
    for room in ROOMS:
        for file in sorted((CHECKOUT / room).rglob("*.py")):
            parts = file.relative_to(CHECKOUT).with_suffix("").parts
            paths[".".join(parts).removesuffix(".__init__")] = file
    return paths


@cache
def imports() -> list[Import]:
    """Every import of a module of the rooms by another one, each once for each way."""
    pairs: set[Import] = set()
    for module, file in modules().items():
        tree = ast.parse(file.read_bytes(), file)
        pairs.update(
            Import(module, imported, is_late)
            for imported, is_late in _imported(tree, is_late=False)
            if imported != module
        )
    return sorted(pairs)


def _imported(node: ast.AST, is_late: bool) -> Iterator[tuple[str, bool]]:
    """The modules of the rooms that the code under a node imports, and whether in a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: no relative imports"
            names = [_module(f"{child.module}.{alias.name}") for alias in child.names]
        else:
            in_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imported(child, is_late or in_function)
            continue

        for name in names:
            if name in modules():
                yield name, is_late


def _module(name: str) -> str:
    """The module in `from A import B`: A.B where that is one, otherwise A."""
    return name if name in modules() else name.rpartition(".")[0]


def circles(among: Iterable[Import]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others (Tarjan)."""
    neighbours: dict[str, list[str]] = {name: [] for name in modules()}
    for import_ in among:
        neighbours[import_.importer].append(import_.imported)
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for neighbour in neighbours[module]:
            if neighbour not in order:
                visit(neighbour)
            if neighbour in stack:
                lowest[module] = min(lowest[module], lowest[neighbour])
        if lowest[module] == order[module]:
            begin = stack.index(module)
            groups.append(sorted(stack[begin:]))
            del stack[begin:]

    for module in neighbours:
        if module not in order:
            visit(module)

    return sorted(group for group in groups if len(group) > 1)


def room(module: str) -> str:
    return module.partition(".")[0]


def table() -> str:
    """The imports between the rooms, counted by pairs of modules, as a Markdown table."""
    pairs = {(import_.importer, import_.imported) for import_ in imports()}
    counts = Counter((room(importer), room(imported)) for importer, imported in pairs)
    lines = [
        f"| imports of, by | {' | '.join(f'{name}/' for name in ROOMS)} |",
        f"|---|{'---:|' * len(ROOMS)}",
    ]
    for importer in ROOMS:
        numbers = [str(counts[importer, imported] or "") for imported in ROOMS]
        lines.append(f"| {importer}/ | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
