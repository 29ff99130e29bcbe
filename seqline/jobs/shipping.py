"""The flags for Beam's stager by which the code and its dependencies reach Dataflow's workers.

Imports neither Beam nor TensorFlow.

By default the package is built as an sdist, from the checkout's setup.py or, where it is installed
from a wheel, from its installed files. Its dependencies are pinned to the submitter's versions.
With --sdk_container_image the image holds both.
"""

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from seqline.jobs.dataflow import option

PROJECT = "seqline"
# The folder that the packages are in: a checkout or site-packages.
CODE_ROOT = Path(__file__).parent.parent.parent
# A user who gives one of these flags ships the code in another way.
CODE_FLAGS = ("setup_file", "extra_package", "extra_packages", "sdk_container_image")
SETUP = """from setuptools import find_packages, setup

setup(name={name!r}, version={version!r}, packages=find_packages(), package_data={{"": ["**/*"]}})
"""


@contextmanager
def shipped(beam_args: Sequence[str]) -> Iterator[list[str]]:
    """The flags of `beam_args` and those that ship the code.

    The files that they name exist until the block ends.
    """
    with tempfile.TemporaryDirectory(prefix="seqline-ship-") as name:
        flags = list(beam_args)
        if given := option(beam_args, "setup_file"):
            # Beam's stager changes into the file's folder, which is "" for a bare name.
            flags.append(f"--setup_file={Path(given).resolve()}")
        if not any(option(beam_args, flag) for flag in CODE_FLAGS):
            flags.append(f"--setup_file={setup_file(Path(name))}")

        flags_of_pins = ("requirements_file", "sdk_container_image")
        if not any(option(beam_args, flag) for flag in flags_of_pins):
            requirements = Path(name, "requirements.txt")
            requirements.write_text("".join(f"{pin}\n" for pin in pins()), encoding="utf-8")
            # Workers install them from the index; nothing is downloaded here to be uploaded again.
            flags += [f"--requirements_file={requirements}", "--requirements_cache=skip"]

        yield flags


def checkout(root: Path = CODE_ROOT) -> Path | None:
    """The folder of the checkout that this code runs from; None if it is installed."""
    is_checkout = (root / "setup.py").is_file() and (root / "pyproject.toml").is_file()
    return root if is_checkout else None


def setup_file(folder: Path) -> Path:
    """The absolute path of the setup.py that packs this code.

    It is the checkout's, or one made in `folder` from the installed files.
    """
    source = checkout()
    if source:
        return (source / "setup.py").resolve()

    for package in packages():
        if "." not in package:
            shutil.copytree(
                CODE_ROOT / package,
                folder / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )

    (folder / "setup.py").write_text(
        SETUP.format(name=PROJECT, version=distribution(PROJECT).version), encoding="utf-8"
    )
    return (folder / "setup.py").resolve()


def packages(root: Path = CODE_ROOT, project: str = PROJECT) -> list[str]:
    """The packages that are shipped: those that pyproject.toml names, or all installed ones.

    Raises:
        KeyError: the checkout's pyproject.toml names no packages.
        PackageNotFoundError: `root` is not a checkout, and the project is not installed.
    """
    source = checkout(root)
    if source:
        content = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
        named = content["tool"]["setuptools"]["packages"]
        return sorted(_find(source, named["find"]) if isinstance(named, dict) else named)

    files = distribution(project).files or ()
    return sorted({".".join(path.parent.parts) for path in files if path.name == "__init__.py"})


def _find(source: Path, patterns: Mapping[str, Sequence[str]]) -> list[str]:
    """The packages that setuptools finds by the patterns of `[tool.setuptools.packages.find]`."""
    from setuptools import find_packages

    exclude = patterns.get("exclude", ())
    return find_packages(str(source), include=patterns.get("include", ("*",)), exclude=exclude)


def pins() -> list[str]:
    """`name==version` of every distribution that this one needs, as installed here, sorted."""
    versions: dict[str, str] = {}
    todo = [(PROJECT, "")]
    done = set()

    while todo:
        name, extra = todo.pop()
        if (name, extra) in done:
            continue

        done.add((name, extra))

        try:
            installed = distribution(name)
        except PackageNotFoundError:  # another system needs it
            continue

        if name != PROJECT:
            versions[name] = installed.version

        for requirement in installed.requires or ():
            todo += _needed(requirement, extra)

    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def _needed(requirement: str, extra: str) -> list[tuple[str, str]]:
    """The (name, extra) pairs that a line of a distribution's requirements asks for.

    Empty if its marker does not hold here.
    """
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    if parsed.marker and not parsed.marker.evaluate({"extra": extra}):
        return []
    name = re.sub(r"[-_.]+", "-", parsed.name).lower()
    return [(name, ""), *((name, needed_extra) for needed_extra in parsed.extras)]


def pins_digest() -> str:
    """A digest of the pins, short enough for a label."""
    return blake2b("\n".join(pins()).encode(), digest_size=8).hexdigest()


def labels() -> dict[str, str]:
    """The labels by which an image built in this environment says what it holds."""
    return {
        "seqline.python": python(),
        "seqline.beam": distribution("apache-beam").version,
        "seqline.pins": pins_digest(),
    }


def python() -> str:
    """The version of Python that workers need, e.g. 3.11: pickled code fits no other."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


if __name__ == "__main__":  # docker build --target worker $(python -m seqline.jobs.shipping) ...
    print(*(f"--label={name}={value}" for name, value in labels().items()))
