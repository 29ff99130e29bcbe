"""Containers of images that this machine's docker has, for jobs that are executed in them.

Nothing is pulled.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LABEL = "seqline.fake_cloud.job"
ANSWER_SECONDS = 20


def missing() -> str | None:
    """Why no container can be run here; None where one can."""
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
    """The configuration of an image (Env, Entrypoint, Labels ...).

    None where the local docker does not have it.
    """
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
    env = dict(each.split("=", 1) for each in (config(image) or {}).get("Env") or [])
    return env.get(name)


def command(
    image: str, job: str, environment: Mapping[str, str], entrypoint: str | None = None
) -> list[str]:
    """`docker run` of an image on the machine's own network, to which arguments may be added.

    Files that variables name are there, too.
    """
    mounts = {
        value for value in environment.values() if value.startswith("/") and Path(value).exists()
    }
    return [
        *("docker", "run", "--rm", "--network=host", f"--label={LABEL}={job}"),
        *(f"--env={name}={value}" for name, value in environment.items()),
        *(f"--volume={path}:{path}:ro" for path in sorted(mounts)),
        *((f"--entrypoint={entrypoint}",) if entrypoint else ()),
        image,
    ]


def kill(job: str) -> None:
    """Ends the containers of a job: the client that started one may be dead already."""
    found = _output(["docker", "ps", "--quiet", f"--filter=label={LABEL}={job}"]).split()
    if found:
        _output(["docker", "rm", "--force", *found])


def _output(arguments: Sequence[str]) -> str:
    return subprocess.run(arguments, capture_output=True, text=True).stdout
