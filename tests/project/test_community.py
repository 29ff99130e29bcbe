"""The files by which a project meets others, against the schemas of those who read them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import seqline
from tests.support import CHECKOUT

BIN = Path(sys.executable).parent
# File -> the schema that check-jsonschema ships for it.
SCHEMAS = {
    ".github/dependabot.yml": "dependabot",
    ".github/ISSUE_TEMPLATE/bug.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "github-issue-config",
    ".github/ISSUE_TEMPLATE/idea.yml": "github-issue-forms",
    ".github/workflows/ci.yml": "github-workflows",
    ".github/workflows/release.yml": "github-workflows",
    ".github/workflows/retrain.yml": "github-workflows",
    "CITATION.cff": "citation-file-format",
    "docker-compose.embedded.yml": "compose-spec",
    "docker-compose.yml": "compose-spec",
}


def problems(schema: str, *files: Path) -> str:
    """What check-jsonschema, without a network, says against files."""
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files],
        capture_output=True,
        text=True,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("schema", sorted(set(SCHEMAS.values())))
def test_files_are_as_their_readers_want_them(schema: str) -> None:
    files = [CHECKOUT / name for name, needed in SCHEMAS.items() if needed == schema]
    assert problems(schema, *files) == ""


def test_every_file_for_github_is_checked() -> None:
    there = {
        path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / ".github").rglob("*.yml")
    }
    assert {name for name in SCHEMAS if name.startswith(".github/")} == there


def gitlab() -> str:
    """The pipeline of docs/ci.md."""
    text = (CHECKOUT / "docs" / "ci.md").read_text(encoding="utf-8")
    return text[text.index("<!-- gitlab:") :].split("```", 2)[1].partition("\n")[2]


def test_gitlabs_pipeline_is_linted(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(gitlab())
    assert problems("gitlab-ci", good) == ""

    bad.write_text(gitlab().replace("allow_failure:", "allow_failures:"))
    assert "allow_failures" in problems("gitlab-ci", bad)


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (seqline.__version__, "Apache-2.0")


def test_the_policy_names_the_private_way() -> None:
    link = "https://github.com/seqline/seqline/security/advisories/new"
    contacts = yaml.safe_load((CHECKOUT / ".github/ISSUE_TEMPLATE/config.yml").read_text())
    assert contacts["contact_links"][0]["url"] == link
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md"):
        assert f"({link})" in (CHECKOUT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_links_lead_to_files(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)\)", (CHECKOUT / name).read_text(encoding="utf-8")):
        assert (CHECKOUT / target).exists(), target


def test_the_devcontainer_has_the_python_of_the_image_and_makes_what_is_there() -> None:
    container = json.loads((CHECKOUT / ".devcontainer" / "devcontainer.json").read_text())
    python = re.search(
        r"^ARG PYTHON_IMAGE=python:([\d.]+)-", (CHECKOUT / "Dockerfile").read_text(), re.M
    )
    assert python
    assert container["image"] == f"python:{python[1]}-bookworm"
    [target] = re.findall(r"make ([\w-]+)", container["postCreateCommand"])
    assert f"\n{target}: " in (CHECKOUT / "Makefile").read_text()


def test_the_hooks_of_pre_commit_pass_on_files_of_every_kind(tmp_path: Path) -> None:
    """The real pre-commit runs the real hooks, in a repository of its own, without a network."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    config = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]

    files = ["pyproject.toml", ".pre-commit-config.yaml", "setup.py", *SCHEMAS]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    (tmp_path / ".gitignore").write_text(".venv\n")
    assert run(tmp_path, "git", "init", "--quiet").returncode == 0
    assert run(tmp_path, "git", "add", ".").returncode == 0

    good = run(tmp_path, str(BIN / "pre-commit"), "run", "--all-files")
    assert good.returncode == 0, good.stdout
    passed = [line for line in good.stdout.splitlines() if line.endswith("Passed")]
    assert [line.partition(".")[0] for line in passed] == [
        "ruff check",
        "ruff format",
        "workflows of GitHub Actions",
        "issue forms",
    ]

    (tmp_path / "setup.py").write_text("import os\nx=1\n")
    bad = run(tmp_path, str(BIN / "pre-commit"), "run", "--all-files")
    assert bad.returncode == 1
    assert (tmp_path / "setup.py").read_text() == "x = 1\n"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PRE_COMMIT_HOME": str(folder / ".p")},
    )
