import re
from pathlib import Path

import pytest

from components.example_validator import SEVERITIES
from pipeline.cli.app import app
from tests.project import generated
from tests.support import CHECKOUT
from tests.support.commands import commands_of

DOCS = CHECKOUT / "docs"
PAGES = sorted(
    [
        CHECKOUT / "README.md",
        CHECKOUT / "CONTRIBUTING.md",
        *DOCS.rglob("*.md"),
        *(CHECKOUT / "examples").rglob("*.md"),
    ]
)


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("page", generated.PARTS)
def test_what_is_generated_is_that_of_the_code(page: str) -> None:
    is_new = generated.documented(page) == generated.PARTS[page]()
    assert is_new, "python -m tests.project.generated writes it again"


def test_every_command_and_option_of_run_is_documented() -> None:
    documented = text("reference/commands.md")
    commands = commands_of(app)
    for command in set(commands) - {"version"}:
        assert f"| `seqline {command}" in documented

    row = next(line for line in documented.splitlines() if line.startswith("| `seqline run "))
    for parameter in commands["run"].params:
        assert any(option in row for option in parameter.opts), parameter.opts


def test_every_kind_of_anomaly_is_documented_with_its_severity() -> None:
    documented = text("data.md")
    errors, warnings = documented[documented.index("Errors unless") :].split("Warnings: ", 1)
    for kind, severity in SEVERITIES.items():
        assert (f"`{kind}`" in errors) == (severity == "error"), kind
        assert severity != "warning" or f"`{kind}`" in warnings.partition("\n\n")[0], kind


@pytest.mark.parametrize("room", ["pipeline", "components", "serving", "seqline"])
def test_the_architecture_names_every_package(room: str) -> None:
    named = text("architecture.md")
    for path in (CHECKOUT / room).iterdir():
        if path.is_dir() and path.name not in ("__pycache__", "configs"):
            assert f"{path.name}/" in named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_and_named_files_exist(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", content):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"

    if page.parent.name == "contributing":
        return  # These name files that are to be written.
    rooms = "pipeline|components|serving|seqline|tests|benchmarks|docs"
    for name in re.findall(rf"(?<![\w/.-])(?:{rooms})(?:/[\w-]+)+\.(?:py|md|toml)", content):
        assert (CHECKOUT / name).exists(), name

    for name in re.findall(r"python -m ((?:pipeline|serving|seqline|tests)[\w.]*)", content):
        path = CHECKOUT.joinpath(*name.rstrip(".").split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
