"""Containers for jobs, of images that this machine's docker has. Nothing is pulled."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LABEL = "seqline.fake_cloud.job"
ANSWER_SECONDS = 20


def missing() -> str | None:
    """Why no container can run here; None if one can."""
    if shutil.which("docker") is None:
        return "no docker on this machine"
    done = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
    )
    return None if done.returncode == 0 else "docker has no daemon here"


def config(image: str) -> dict[str, Any] | None:
    """The configuration of an image (Env, Entrypoint, Labels ...); None if docker lacks it."""
    if shutil.which("docker") is None:
        return None
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{json .Config}}", image],
        capture_output=True,
        text=True,
    )
    return dict(json.loads(done.stdout)) if done.returncode == 0 else None


def variable(image: str, name: str) -> str | None:
    """The value of an environment variable that an image sets."""
    env = dict(entry.split("=", 1) for entry in (config(image) or {}).get("Env") or [])
    return env.get(name)


def command(
    image: str, job: str, environment: Mapping[str, str], entrypoint: str | None = None
) -> list[str]:
    """`docker run` of an image on the machine's own network, to which arguments may be added.

    Files that variables name are mounted.
    """
    mounts = {
        value for value in environment.values() if value.startswith("/") and Path(value).exists()
    }
    return [
        "docker",
        "run",
        "--rm",
        "--network=host",
        f"--label={LABEL}={job}",
        *(f"--env={name}={value}" for name, value in environment.items()),
        *(f"--volume={path}:{path}:ro" for path in sorted(mounts)),
        *((f"--entrypoint={entrypoint}",) if entrypoint else ()),
        image,
    ]


def kill(job: str) -> None:
    """Ends the containers of a job. The client that started one may already be dead."""
    ids = _output(["docker", "ps", "--quiet", f"--filter=label={LABEL}={job}"]).split()
    if ids:
        _output(["docker", "rm", "--force", *ids])


def _output(arguments: Sequence[str]) -> str:
    return subprocess.run(arguments, capture_output=True, text=True).stdout
