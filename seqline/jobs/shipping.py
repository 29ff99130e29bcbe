"""How this code and its dependencies come to Dataflow's workers.

By flags for Beam's stager. Imports neither Beam nor TensorFlow.

By default the package is built as an sdist, from the checkout's setup.py or, where it is installed
from a wheel, from its installed files; and its dependencies are pinned to the versions that the
submitter has. With --sdk_container_image the image holds both.
"""

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from seqline.jobs.dataflow import option

PROJECT = "seqline"
HERE = Path(__file__).parent.parent.parent
# Who says how the code comes there is not told again.
CODE_FLAGS = ("setup_file", "extra_package", "extra_packages", "sdk_container_image")
SETUP = """from setuptools import find_packages, setup

setup(name={name!r}, version={version!r}, packages=find_packages(), package_data={{"": ["**/*"]}})
"""


@contextmanager
def shipped(beam_args: Sequence[str]) -> Iterator[list[str]]:
    """The flags, and those that ship the code.

    The files they name are there until the block ends.
    """
    with tempfile.TemporaryDirectory(prefix="seqline-ship-") as name:
        flags = list(beam_args)
        if given := option(
            beam_args, "setup_file"
        ):  # Beam's stager changes into its folder, "" for a bare name
            flags.append(f"--setup_file={Path(given).resolve()}")
        if not any(option(beam_args, flag) for flag in CODE_FLAGS):
            flags.append(f"--setup_file={setup_file(Path(name))}")
        if not any(
            option(beam_args, flag) for flag in ("requirements_file", "sdk_container_image")
        ):
            requirements = Path(name, "requirements.txt")
            requirements.write_text("".join(f"{pin}\n" for pin in pins()), encoding="utf-8")
            # Workers install them from the index; nothing is downloaded here to be uploaded again.
            flags += [f"--requirements_file={requirements}", "--requirements_cache=skip"]
        yield flags


def checkout() -> Path | None:
    """The folder of the checkout that this code runs from; None where it is installed."""
    return HERE if (HERE / "setup.py").is_file() and (HERE / "pyproject.toml").is_file() else None


def setup_file(folder: Path) -> Path:
    """The setup.py that packs this code, by its absolute path.

    The checkout's, or one made in `folder` of the installed files.
    """
    found = checkout()
    if found:
        return (found / "setup.py").resolve()
    for package in packages():
        if "." not in package:
            shutil.copytree(
                HERE / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
            )
    (folder / "setup.py").write_text(
        SETUP.format(name=PROJECT, version=distribution(PROJECT).version), encoding="utf-8"
    )
    return (folder / "setup.py").resolve()


def packages() -> list[str]:
    """The packages that are shipped.

    Those that pyproject.toml lists, or all of the installed ones.
    """
    found = checkout()
    if found:
        content = tomllib.loads((found / "pyproject.toml").read_text(encoding="utf-8"))
        return sorted(content["tool"]["setuptools"]["packages"])
    files = distribution(PROJECT).files or ()
    return sorted({".".join(path.parent.parts) for path in files if path.name == "__init__.py"})


def pins() -> list[str]:
    """`name==version` of every distribution that this one needs, as they are installed here.

    Sorted.
    """
    found: dict[str, str] = {}
    todo = [(PROJECT, "")]
    done = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # of another system
            continue
        if name != PROJECT:
            found[name] = installed.version
        for requirement in installed.requires or ():
            todo += _needed(requirement, extra)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _needed(requirement: str, extra: str) -> list[tuple[str, str]]:
    """(name, extra) of what a line of a distribution's requirements asks for here.

    Nothing where its marker does not hold.
    """
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    if parsed.marker and not parsed.marker.evaluate({"extra": extra}):
        return []
    name = re.sub(r"[-_.]+", "-", parsed.name).lower()
    return [(name, ""), *((name, each) for each in parsed.extras)]


def pins_digest() -> str:
    """A digest of the pins, short enough for a label."""
    return blake2b("\n".join(pins()).encode(), digest_size=8).hexdigest()


def labels() -> dict[str, str]:
    """The labels by which an image that is built in this environment says what is in it."""
    return {
        "seqline.python": python(),
        "seqline.beam": distribution("apache-beam").version,
        "seqline.pins": pins_digest(),
    }


def python() -> str:
    """The version of Python that workers need: pickled code fits no other."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


if __name__ == "__main__":  # docker build --target worker $(python -m seqline.jobs.shipping) ...
    print(*(f"--label={name}={value}" for name, value in labels().items()))
