"""The release: what a tag must be, the order of its jobs, and the steps that need no network."""

import re
import sys
from pathlib import Path

import pytest

import seqline
from tests.project.release import notes
from tests.support import CHECKOUT
from tests.support.workflow_steps import LOADED, Runner, step

JOBS = LOADED["release"]["jobs"]
CHANGELOG = """# Changelog

## 1.2.0 (2026-11-30)

- One.

### To upgrade

- Two.

## 1.1.0 (2026-10-01)

- Three.
"""


def checkout(folder: Path, changelog: str = CHANGELOG, cited: str = "1.2.0") -> Path:
    (folder / "seqline").mkdir(parents=True)
    (folder / "seqline" / "__init__.py").write_text('"""Text."""\n\n__version__ = "1.2.0"\n')
    (folder / "CITATION.cff").write_text(f"cff-version: 1.2.0\nversion: {cited}\n")
    (folder / "CHANGELOG.md").write_text(changelog)
    return folder


def test_the_notes_are_the_section_of_the_version(tmp_path: Path) -> None:
    assert notes("v1.2.0", checkout(tmp_path)) == "- One.\n\n### To upgrade\n\n- Two.\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "cited", "said"),
    [
        ("v1.3.0", CHANGELOG, "1.2.0", "the tag v1.3.0 is not v1.2.0, the version in seqline/"),
        ("1.2.0", CHANGELOG, "1.2.0", "the tag 1.2.0 is not v1.2.0"),
        ("v1.2.0", CHANGELOG, "1.1.0", "CITATION.cff has version 1.1.0, not 1.2.0"),
        ("v1.2.0", "# Changelog\n", "1.2.0", 'no section "## 1.2.0 (date)"'),
        ("v1.2.0", "## 1.2.0 (unreleased)\n", "1.2.0", "section of 1.2.0 says (unreleased)"),
    ],
)
def test_what_cannot_become_a_release_is_named(
    tmp_path: Path, tag: str, changelog: str, cited: str, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        notes(tag, checkout(tmp_path, changelog, cited))


def test_the_step_refuses_a_tag_of_another_version(tmp_path: Path) -> None:
    """With Python's standard library alone: nothing is installed when it runs."""
    given = step("release", "build", "The tag is the version, and the changelog has it")
    assert LOADED["release"]["jobs"]["build"]["steps"].index(given) == 2
    code, out = Runner(tmp_path).run(
        {"run": given["run"].replace("python -m", f"{sys.executable} -S -m")},
        TAG="v9.9.9",
        PYTHONPATH=str(CHECKOUT),
    )
    assert code == 1
    assert out == (
        f"error: the tag v9.9.9 is not v{seqline.__version__}, the version in seqline/__init__.py."
        " Change the one or tag the other.\n"
    )


def test_nothing_is_published_that_was_not_tested() -> None:
    assert JOBS["test"]["needs"] == "build"
    assert JOBS["publish"]["needs"] == ["build", "test"]
    assert JOBS["announce"]["needs"] == "publish"
    assert JOBS["publish"]["environment"]["name"] == "pypi"
    assert [name for name, job in JOBS.items() if "environment" in job] == ["publish"]
    assert LOADED["release"]["concurrency"] == {"group": "release", "cancel-in-progress": False}


def test_only_the_build_sees_the_checkout_and_only_the_upload_has_an_identity() -> None:
    """What is uploaded are the bytes that were tested, and no code runs beside the identity."""
    for name, job in JOBS.items():
        actions = [job_step.get("uses", "").partition("@")[0] for job_step in job["steps"]]
        assert ("actions/checkout" in actions) == (name == "build"), name
        if name != "build":
            assert "actions/download-artifact" in actions, name
    assert [job_step.get("run") for job_step in JOBS["publish"]["steps"]] == [None] * 3
    assert not any(
        "with" in job_step and "password" in job_step["with"]
        for job_step in (job_step for job in JOBS.values() for job_step in job["steps"])
    )


def test_the_wheel_is_tried_on_every_python() -> None:
    assert JOBS["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.slow
def test_the_step_that_goes_from_rows_to_an_answer(tmp_path: Path) -> None:
    code, out = Runner(tmp_path).run(step("release", "test", "From rows to an answer"))
    assert code == 0, out
    assert (tmp_path / "serving_dir" / "rows" / "1" / "saved_model.pb").is_file()
    assert '"label": "good"' in out.splitlines()[-1], out
