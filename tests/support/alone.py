"""A virtual environment that has TensorFlow and what it needs, and nothing else."""

import shutil
import subprocess
import sys
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def make(folder: Path, *names: str) -> Path:
    """Makes the environment of links to this one's packages; returns its Python.

    Args:
        folder: Where.
        names: The distributions that it has, with all that they require.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", code], text=True).strip())
    for needed in _with_requirements(names).values():
        for file in needed.files or ():
            top = file.parts[0]
            source, target = Path(str(needed.locate_file(top))), packages / top
            if top == ".." or target.exists():
                continue
            if top.endswith(".dist-info"):
                shutil.copytree(source, target)  # uv does not follow a link to it
            else:
                target.symlink_to(source)
    return python


def _with_requirements(names: tuple[str, ...]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return found


def install(python: Path, wheel: Path) -> str:
    """Installs a wheel, whose requirements have to be there already; returns what uv says."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-index"]
    done = subprocess.run(
        [*command, "--python", str(python), str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
