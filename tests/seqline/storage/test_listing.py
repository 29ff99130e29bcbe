"""Local files as globs and folders list them."""

import os
import time
from pathlib import Path

import pytest

from seqline.errors import DataError, UserError
from seqline.storage import files, listing


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")


def paths(pattern: str) -> list[str]:
    return [entry.shown for entry in listing.glob(pattern).entries]


def test_globs(here: Path) -> None:
    write("p/b.csv", "p/a.csv", "p/q/c.csv", "p/q/r/d.csv", "other.csv")
    assert paths("p/*.csv") == ["p/a.csv", "p/b.csv"]
    assert paths("p/?.csv") == ["p/a.csv", "p/b.csv"]
    assert paths("p/[b-z].csv") == ["p/b.csv"]
    assert paths("*/*/*.csv") == ["p/q/c.csv"]
    assert paths("p/**/*.csv") == ["p/a.csv", "p/b.csv", "p/q/c.csv", "p/q/r/d.csv"]
    assert paths("p/**") == ["p/a.csv", "p/b.csv", "p/q/c.csv", "p/q/r/d.csv"]
    assert paths("p/*") == ["p/a.csv", "p/b.csv", "p/q/"]
    assert paths("p/*/") == ["p/q/"]
    assert paths("p//*.csv") == ["p//a.csv", "p//b.csv"]
    assert paths(f"{here}/*.csv") == [f"{here}/other.csv"]
    assert paths("gone/*.csv") == paths("gone.csv") == paths("other.csv/*") == []


@pytest.mark.parametrize(
    "name",
    [
        "[x]",
        "[1-",
        "a b",
        "-x",
        "#h",
        "50%",
        "new\nline",
        "ca*f\u00e9",
        "q?",
        "\udcff",
        "it's",
        '"q"',
    ],
)
def test_any_name_that_the_file_system_allows(here: Path, name: str) -> None:
    write(f"{name}/r.csv")
    for pattern in (f"{name}/r.csv", f"{name}/*.csv", f"{name}/**/*.csv"):
        assert paths(pattern) == [f"{name}/r.csv"]
    assert paths(name) == [f"{name}/"]
    assert [entry.path for entry in listing.walk(name).entries] == [f"{name}/r.csv"]


def test_what_a_glob_passes_over_is_told(here: Path) -> None:
    write(
        "p/a.csv",
        "p/B.CSV",
        "p/.c.csv",
        "p/.git/d.csv",
        "p/q/.e.csv",
        "p/q/f.txt",
        "a*.csv",
        "ab.csv",
    )
    found = listing.glob("p/*.csv")
    assert [entry.path for entry in found.entries] == ["p/a.csv"]
    assert (found.hidden, found.other_case) == (["p/.c.csv"], ["p/B.CSV"])
    assert sorted(listing.glob("p/**/*.csv").hidden) == ["p/.c.csv", "p/.git/d.csv", "p/q/.e.csv"]
    assert sorted(listing.walk("p").hidden) == ["p/.c.csv", "p/.git/d.csv", "p/q/.e.csv"]

    # A file's own name is no glob.
    found = listing.glob("a*.csv")
    assert ([entry.path for entry in found.entries], found.other) == (["a*.csv"], ["ab.csv"])


def test_links_to_folders_are_followed_once(here: Path) -> None:
    write("p/v1/a.csv", "p/v2/b.csv")
    os.symlink("v2", "p/latest")
    os.symlink("..", "p/v2/up")
    os.symlink(here / "p", "p/v1/p")
    started = time.monotonic()

    found = listing.glob("p/**/*.csv")
    assert [entry.path for entry in found.entries] == ["p/v1/a.csv", "p/v2/b.csv"]
    assert dict(found.repeated) == {"p/latest": "p/v2", "p/v1/p": "p/", "p/v2/up": "p/"}
    assert time.monotonic() - started < 1

    # Where a link is named, what lies behind it is found, and known to be behind a link.
    assert [(entry.path, entry.via_link) for entry in listing.glob("p/*/*.csv").entries] == [
        ("p/latest/b.csv", True),
        ("p/v1/a.csv", False),
        ("p/v2/b.csv", False),
    ]


def test_a_link_to_nowhere_is_an_error(here: Path) -> None:
    write("p/a.csv")
    os.symlink("/nowhere/b.csv", "p/b.csv")
    for find in (lambda: listing.glob("p/*.csv"), lambda: listing.walk("p")):
        with pytest.raises(DataError, match=r"^'p/b\.csv' is a link to '/nowhere/b\.csv', which"):
            find()
    assert paths("p/a*.csv") == ["p/a.csv"]

    os.unlink("p/b.csv")
    os.symlink("gone", "p/folder")  # It may have held rows.
    with pytest.raises(DataError, match=r"^'p/folder' is a link to 'gone'"):
        listing.glob("p/*/*.csv")
    os.symlink("round", "round")
    with pytest.raises(DataError, match=r"^'round' is a link that leads back to itself\. Remove"):
        listing.glob("round")


def test_what_is_no_file_is_an_error(here: Path) -> None:
    os.mkfifo("a.csv")
    with pytest.raises(UserError, match=r"^'a\.csv' is a pipe and not a file\. Write the rows"):
        listing.glob("*.csv")
    with pytest.raises(UserError, match="'/dev/null' is a device and not a file"):
        files.stat("/dev/null")
    with pytest.raises(UserError, match=r"^\. is a folder: name a file\.$"):
        files.stat(".")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_cannot_be_read_is_an_error(here: Path) -> None:
    write("p/q/a.csv")
    os.chmod("p/q", 0)
    for pattern in ("p/**/*.csv", "p/*/*.csv"):
        with pytest.raises(UserError, match=r"^'p/q' cannot be read \(Permission denied\)"):
            listing.glob(pattern)
