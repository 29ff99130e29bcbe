"""The rooms' rules, by path alone: there is no list of modules that may break one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.layers import Import, circles, imports, modules, room
from tests.support import CHECKOUT

# What the code of each room may import, besides its own.
FLOORS = {
    "pipeline": {"components", "seqline", "serving"},
    "components": {"seqline", "serving"},
    "seqline": set(),
    "serving": set(),
}
# The public Python API: names of pipeline.api, which these modules load when they are used.
FACES = ("seqline", "seqline.sklearn")
# The house: "one arrow between them: tuner -> trainer". A tuner is made of trainings.
BETWEEN_COMPONENTS = {("tuner", "trainer")}
# The parts of seqline, lowest first. A part imports itself and those on lower floors.
SEQLINE = (
    {
        *("", "errors", "component", "digests", "sklearn", "gates", "intervals"),
        *("suggest", "text"),
    },
    {"host"},
    {"storage"},
    {"data"},
    {"rows", "model"},
    {"jobs"},
    {"__main__"},
)
NOT_IN_KEYS = ("storage", "jobs", "host")


def opens_the_api(import_: Import) -> bool:
    """Whether a face loads a name of the API: for type checkers, or when it is used."""
    is_api = f"{import_.imported}.".startswith(("pipeline.api.", "pipeline.config."))
    return import_.importer in FACES and is_api


def part(module: str) -> str:
    """A component's name, or a part of seqline; "" for the room's own `__init__.py`."""
    return module.partition(".")[2].partition(".")[0]


def test_arrows_between_the_rooms_point_downwards() -> None:
    wrong = [
        str(import_)
        for import_ in imports()
        if room(import_.importer) != room(import_.imported)
        and not opens_the_api(import_)
        and room(import_.imported) not in FLOORS[room(import_.importer)]
    ]
    assert wrong == []


def test_a_component_imports_seqline_and_its_own_package() -> None:
    wrong = [
        str(import_)
        for import_ in imports()
        if room(import_.importer) == room(import_.imported) == "components"
        and part(import_.importer) != part(import_.imported)
        and (part(import_.importer), part(import_.imported)) not in BETWEEN_COMPONENTS
    ]
    assert wrong == []


def test_a_part_of_seqline_imports_those_below_it() -> None:
    floors = {name: floor for floor, names in enumerate(SEQLINE) for name in names}
    parts = [name for name in modules() if room(name) == "seqline"]
    assert {part(name) for name in parts} <= floors.keys()

    wrong = [
        str(import_)
        for import_ in imports()
        if import_.importer in parts
        and import_.importer not in FACES
        and import_.imported in parts
        and part(import_.importer) != part(import_.imported)
        and (
            floors[part(import_.imported)] > floors[part(import_.importer)]
            or (floors[part(import_.imported)] == floors[part(import_.importer)] != 0)
        )
    ]
    assert wrong == []


def opens_its_body(import_: Import) -> bool:
    """Whether a package's face imports its own body when it is called, as every component does."""
    return import_.is_late and import_.imported.startswith(f"{import_.importer}.")


def test_no_modules_import_each_other_in_a_circle() -> None:
    counted = (
        import_
        for import_ in imports()
        if not opens_its_body(import_) and not opens_the_api(import_)
    )
    assert circles(counted) == []


def test_no_stage_imports_the_faces() -> None:
    """A face stands above the stages. Only the version is read from it, by pipeline/."""
    wrong = [
        str(import_)
        for import_ in imports()
        if import_.imported in FACES and room(import_.importer) in ("components", "seqline")
    ]
    assert wrong == []


def test_importing_the_face_imports_nothing_else() -> None:
    script = (
        "import sys; before = set(sys.modules); import seqline; dir(seqline);"
        " rooms = ('pipeline', 'components', 'serving', 'seqline');"
        " others = set(sys.modules) - before - set(sys.stdlib_module_names);"
        " print(sorted(name for name in others if '.' not in name or name.startswith(rooms)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['seqline']\n"


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("errors", "digests"), ("digests", "suggest")], []),
        ([("errors", "digests"), ("digests", "errors")], [["seqline.digests", "seqline.errors"]]),
        (
            [("errors", "digests"), ("digests", "suggest"), ("suggest", "errors")],
            [["seqline.digests", "seqline.errors", "seqline.suggest"]],
        ),
    ],
)
def test_a_circle_is_found(pairs: list[tuple[str, str]], expected: list[list[str]]) -> None:
    graph = [Import(f"seqline.{first}", f"seqline.{second}", False) for first, second in pairs]
    assert circles(graph) == expected


def test_imports_inside_functions_are_seen() -> None:
    importers = {
        import_.importer for import_ in imports() if import_.imported == "components.trainer.fit"
    }
    assert "components.trainer" in importers


def test_a_key_follows_neither_storage_nor_jobs_nor_host_nor_the_api(tmp_path: Path) -> None:
    for name in ("pipeline", "components", "seqline"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=ignored)
    before = code_digests(tmp_path)
    assert {"example_gen", "trainer", "pusher"} <= before.keys()

    for folder in NOT_IN_KEYS:
        for file in (tmp_path / "seqline" / folder).rglob("*.py"):
            change(file)
    for file in (tmp_path / "seqline" / "__init__.py", tmp_path / "seqline" / "sklearn.py"):
        change(file)
    for file in (tmp_path / "pipeline" / "api").rglob("*.py"):
        change(file)
    assert code_digests(tmp_path) == before

    change(tmp_path / "seqline" / "data" / "examples.py")
    assert code_digests(tmp_path)["example_gen"] != before["example_gen"]


def change(file: Path) -> None:
    file.write_text(f"{file.read_text(encoding='utf-8')}\nCHANGED = True\n", encoding="utf-8")


def code_digests(tree: Path) -> dict[str, str]:
    """The digest of each component's code, in a copy of the rooms."""
    names = sorted(path.parent.name for path in (tree / "components").glob("*/__init__.py"))
    script = (
        "import json, sys\n"
        "from pipeline.store.code import code_digest\n"
        "print(json.dumps({name: code_digest(f'components.{name}') for name in sys.argv[1:]}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))
