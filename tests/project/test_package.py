"""The sdist and the wheel, built as the release builds them, and what they say of themselves."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import seqline
from tests.support import CHECKOUT
from tests.support.workflow_steps import step

BASE = "https://github.com/seqline/seqline"
ROOMS = {"components", "pipeline", "seqline", "serving"}


def tracked() -> list[str]:
    """The files that git tracks, or would."""
    if not (CHECKOUT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a checkout of git: nothing says which files belong to the sdist")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel, by the release's own command, of a copy of the tracked files."""
    copy = tmp_path_factory.mktemp("build") / "seqline"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, copy / name)

    lines = step("release", "build", "Build")["run"].splitlines()
    [command] = [line for line in lines if line.startswith("python -c ")]
    code = command.removeprefix('python -c "').removesuffix('"')
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [sdist], [wheel] = copy.glob("dist/*.tar.gz"), copy.glob("dist/*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def metadata(built: tuple[Path, Path]) -> Metadata:
    with zipfile.ZipFile(built[1]) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Metadata.from_email(archive.read(name), validate=True)


def test_the_names_have_the_version(built: tuple[Path, Path]) -> None:
    version = seqline.__version__
    assert [path.name for path in built] == [
        f"seqline-{version}.tar.gz",
        f"seqline-{version}-py3-none-any.whl",
    ]


def test_the_sdist_has_every_tracked_file(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if "/" in name}
        files = {name for name in names if archive.getmember(_within(built[0], name)).isfile()}
    made = {name for name in files if name.startswith("seqline.egg-info/")}
    assert files - made - {"PKG-INFO", "setup.cfg"} == set(tracked())


def _within(sdist: Path, name: str) -> str:
    return f"{sdist.name.removesuffix('.tar.gz')}/{name}"


def test_the_wheel_has_the_four_rooms_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        names = archive.namelist()
    info = f"seqline-{seqline.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {*ROOMS, info}

    expected = {
        name
        for name in tracked()
        if name.partition("/")[0] in ROOMS and not name.endswith((".md", ".ipynb"))
    }
    assert {name for name in names if not name.startswith(info)} == expected


def test_the_metadata_is_that_of_the_project(metadata: Metadata) -> None:
    assert metadata.author == "The seqline authors"
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.description_content_type == "text/markdown"
    assert set(metadata.project_urls or ()) == {
        "Homepage",
        "Documentation",
        "Changelog",
        "Issues",
        "Security",
    }
    for url in (metadata.project_urls or {}).values():
        assert url.startswith(BASE), url
        kind, _, path = url.removeprefix(BASE).strip("/").partition("/main/")
        assert not path or (kind in ("blob", "tree") and (CHECKOUT / path).exists()), url

    pythons = [line.rpartition(" ")[2] for line in metadata.classifiers or () if " 3." in line]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert str(metadata.requires_python) == "<3.14,>=3.11"


def test_the_links_of_the_description_lead_to_files_from_anywhere(metadata: Metadata) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", metadata.description or "")
    assert len(links) > 10
    for link in links:
        assert link.startswith(("https://", "#")), link
        path = re.fullmatch(rf"{re.escape(BASE)}/(?:blob|tree)/main/([^#]+)(?:#.*)?", link)
        assert not path or (CHECKOUT / path[1]).exists(), link
    # Whatever README.md itself has, its files are named by one address.
    assert not [link for link in links if "seqline" in link and not link.startswith(BASE)]
