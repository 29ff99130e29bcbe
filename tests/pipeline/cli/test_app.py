"""The commands as a whole: help, version, completion, and one meaning for each option."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import app
from tests.support import CHECKOUT
from tests.support.commands import commands_of

pytestmark = pytest.mark.usefixtures("folder")


def test_help_is_light_and_fits_eighty_columns(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pipeline.cli import app\ntry:\n    app.main()\nexcept SystemExit as"
        " end:\n    assert not end.code, end.code\nheavy = {'tensorflow', 'apache_beam',"
        " 'pydantic', 'numpy', 'rich.console', 'components'} & {*sys.modules}\nassert not heavy,"
        " heavy"
    )
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(CHECKOUT)}

    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80

    listed = [
        line.split()[0]
        for line in done.stdout.partition("Commands:\n")[2].splitlines()
        if line[2:3].strip()
    ]
    assert sorted(listed) == sorted(commands_of(app.app))


def test_a_late_command_has_the_summary_of_its_help() -> None:
    """`seqline --help` describes a command without importing it.

    Its line is the beginning of the command's own help, or at least about the same thing.
    """
    commands = commands_of(app.app)
    for name in app.COMMANDS:
        assert commands[name].help, name
        assert commands[name].help.split()[0] == app.COMMANDS[name].summary.split()[0], name


def test_the_module_and_the_version(tmp_path: Path, seqline: Any) -> None:
    assert seqline("--version") == (0, f"{app.__version__}\n", "")
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-m", "seqline", "version"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{app.__version__}\n", "")


def test_shell_completion_knows_the_commands(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    asked = {"_SEQLINE_COMPLETE": "complete_bash", "COMP_WORDS": "seqline re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "seqline"],
        capture_output=True,
        text=True,
        env={**environment, **asked},
        cwd=tmp_path,
    )
    assert sorted(done.stdout.split()) == ["report", "retrain"], done.stderr


def test_an_option_is_the_same_in_every_command() -> None:
    """A flag has the same short form and takes the same values in every command that has it."""
    meant: dict[str, set[tuple[Any, ...]]] = {}
    for command in commands_of(app.app).values():
        for parameter in command.params:
            flags = [flag for flag in parameter.opts if flag.startswith("--")]
            # `rollback --to` is a version and `run --to` a stage.
            if flags and flags[0] not in ("--to", "--name", "--help"):
                short = tuple(flag for flag in parameter.opts if not flag.startswith("--"))
                meant.setdefault(flags[0], set()).add(
                    (short, bool(parameter.is_flag), bool(parameter.multiple))
                )

    assert {
        "--root",
        "--serving-dir",
        "--config",
        "--set",
        "--json",
        "--model",
        "--output",
        "--text",
        "--verbose",
    } <= {*meant}
    assert {flag: kinds for flag, kinds in meant.items() if len(kinds) > 1} == {}


@pytest.mark.parametrize("reference", ["latest", "20260101", "0001"])
def test_show_finds_a_run_as_compare_does(reference: str, tmp_path: Path, seqline: Any) -> None:
    run = tmp_path / "artifacts" / "runs" / "20260101-000000-0001"
    run.mkdir(parents=True)
    (run / "run.json").write_text(
        json.dumps(
            {
                "run": run.name,
                "started": "2026-01-01T00:00:00+00:00",
                "verdict": "finished",
                "uses": {},
                "stages": [],
            }
        )
    )

    code, out, error = seqline("show", reference, "--json")
    assert (code, error, json.loads(out)["run"]) == (0, "", run.name)
