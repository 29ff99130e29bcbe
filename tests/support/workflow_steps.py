"""The shell steps of the workflows of GitHub Actions, executed as GitHub executes them."""

import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support import CHECKOUT

WORKFLOWS = {path.stem: path for path in sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))}
LOADED: dict[str, Any] = {
    name: yaml.safe_load(path.read_text()) for name, path in WORKFLOWS.items()
}


def step(workflow: str, job: str, name: str) -> dict[str, Any]:
    return next(
        job_step
        for job_step in LOADED[workflow]["jobs"][job]["steps"]
        if job_step.get("name") == name
    )


class Runner:
    """A checkout with a `.venv/bin/seqline`, and the shell of a step as GitHub starts it.

    The environment holds nothing else but what `run` is given.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output, self.summary = folder / "output.txt", folder / "summary.md"
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / "pyproject.toml").write_text("")
        self.install(f'exec env PYTHONPATH={CHECKOUT} {sys.executable} -m pipeline "$@"')

    def install(self, line: str) -> None:
        path = self.folder / ".venv" / "bin" / "seqline"
        path.write_text(f"#!/bin/bash\n{line}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, given: Mapping[str, Any], **environment: str) -> tuple[int, str]:
        script = self.folder / "step.sh"
        script.write_text(given["run"])
        bare = {
            "HOME": str(self.folder),
            "PATH": "/usr/bin:/bin",
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }

        named = set(re.findall(r"\$\{?([A-Z_]+)\b", given["run"])) - set(bare)
        assert named <= set(environment), f"the step reads {named - set(environment)}"

        command = ["bash", "--noprofile", "--norc", "-e", str(script)]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**bare, **environment},
            capture_output=True,
            text=True,
            timeout=200,
        )
        return done.returncode, done.stdout + done.stderr
