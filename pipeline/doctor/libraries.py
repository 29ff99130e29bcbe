"""The libraries: installed as asked for, and importable."""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path
from typing import Any

from pipeline.doctor import FAIL, OK, WARN, Finding, ask

HERE = Path(__file__).parent
TREE = HERE.parent.parent
LOCK = TREE / "requirements-runtime.lock"
# Libraries that one finding names, at most.
NUM_SHOWN = 5
# Without byte code, on a busy machine, all imports together take four minutes.
IMPORT_SECONDS = 600.0
READ_SECONDS = 60.0
# Module -> the distribution that it comes with. Each stands before those that import it, so that
# the first to fail is the cause.
MODULES = {
    "numpy": "numpy",
    "google.protobuf.message": "protobuf",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "requests": "requests",
    "rich": "rich",
    "typer": "typer",
    "google_crc32c": "google-crc32c",
    "importlib_resources": "importlib_resources",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "prometheus_client": "prometheus-client",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tensorflow_metadata.proto.v0.schema_pb2": "tensorflow-metadata",
    "tensorflow_serving.config.model_server_config_pb2": "tensorflow-serving-api",
    "apache_beam": "apache-beam",
    "tensorflow_transform": "tensorflow-transform",
    "tensorflow_datasets": "tensorflow-datasets",
}
# Module that not every run needs -> (seqline's extra, the distribution).
EXTRAS = {
    "optuna": ("tune", "optuna"),
    "sklearn": ("sample", "scikit-learn"),
    "google.cloud.storage": ("gcp", "google-cloud-storage"),
}
OWN = ("seqline.component", "pipeline.cli.app")
PIP = f"{sys.executable} -m pip install"
INSTALL = (
    "make clean install (or: pip install --no-deps --require-hashes -r requirements-runtime.lock)"
    if LOCK.is_file()
    else "install seqline's wheel in a new environment"
)
# Signal that ended a process -> its usual cause.
SIGNALS = {
    4: "this CPU lacks instructions that the wheel needs: another machine, or a build for this one",
    9: "the system ended it, most often because memory ran out: TensorFlow and Beam need 1 GB, a"
    " run 3 GB",
}


def installed() -> Iterator[Finding]:
    """Compares versions with pyproject.toml and with the lock."""
    requirements = _requirements()
    if not requirements:
        yield Finding(
            WARN,
            "versions",
            "neither pyproject.toml nor an installed seqline says what is needed",
            "make install in the checkout",
        )
        return

    lock = str(LOCK) if LOCK.is_file() else None
    question = {"requirements": requirements, "lock": lock}
    answers, failure = ask(HERE / "versions.py", question, READ_SECONDS)
    if failure or not answers:
        text = f"cannot be compared: {failure or 'no answer'}"
        yield Finding(FAIL, "versions", text, INSTALL)
        return

    versions = answers[-1]
    for kind, text, status in (
        ("missing", "not installed", FAIL),
        ("outside", "outside the range that pyproject.toml allows", FAIL),
        ("unlocked", "not the locked versions, with which seqline is tested", WARN),
    ):
        if sentences := versions[kind]:
            yield Finding(status, "versions", f"{text}: {_shortened(sentences)}", INSTALL)

    if not versions["missing"] and not versions["outside"]:
        text = "all libraries are in the ranges of pyproject.toml"
        if lock and not versions["unlocked"]:
            text = f"{versions['num_compared']} libraries match the lock"
        yield Finding(OK, "versions", text)


def _shortened(sentences: list[str]) -> str:
    """The first sentences, and how many more there are."""
    rest = len(sentences) - NUM_SHOWN
    return "; ".join(sorted(sentences)[:NUM_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _requirements() -> list[str]:
    """The requirements of pyproject.toml, or those of an installed seqline."""
    project = TREE / "pyproject.toml"
    if project.is_file():
        return list(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"])
    try:
        return [line for line in requires("seqline") or () if "extra ==" not in line]
    except PackageNotFoundError:
        return []


def imported(
    are_sound: bool = True,
    modules: Mapping[str, str] = MODULES,
    extras: Mapping[str, tuple[str, str]] = EXTRAS,
    own: Sequence[str] = OWN,
    seconds: float = IMPORT_SECONDS,
) -> Iterator[Finding]:
    """Imports everything in other processes. One that fails or hangs does not hide the others.

    Args:
        are_sound: Whether `installed` found no failure. Where it did, no single library is to
            blame.
        modules: Module -> the distribution that it comes with.
        extras: Module that not every run needs -> (seqline's extra, the distribution).
        own: Modules of seqline.
        seconds: How long all imports together may take.
    """
    done, failed = _import_all([*modules, *extras, *own], seconds)
    lacking = {name for name in extras if name in failed and _is_not_installed(name, failed[name])}
    causes: dict[str, str] = {}  # error -> the first module that raised it

    for name, error in failed.items():
        if name in lacking:
            continue
        if error in causes:
            status = WARN if name in extras else FAIL
            yield Finding(status, name, f"fails because {causes[error]} does")
        elif name in extras:
            yield Finding(WARN, name, error, f"{PIP} --force-reinstall {extras[name][1]}")
        else:
            causes[error] = name
            way_out = _way_out(name, modules.get(name), error, are_sound)
            yield Finding(FAIL, name, error, way_out)

    if not failed.keys() - set(extras):
        text = f"{len(done)} modules, {sum(answer['seconds'] for answer in done.values()):.0f} s"
        if lacking:
            names = sorted({extras[name][0] for name in lacking})
            text += f"; extras not installed: {', '.join(names)}"
        yield Finding(OK, "imports", text)

    if "tensorflow" in done:
        yield _devices(done["tensorflow"])


def _is_not_installed(name: str, error: str) -> bool:
    """Whether an import failed because the module, or the package above it, does not exist."""
    packages = (name, name.rpartition(".")[0])
    return error in [f"ModuleNotFoundError: No module named {package!r}" for package in packages]


def _import_all(
    names: list[str], seconds: float
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Imports the modules in one process, and in a new one after each that fails.

    Returns:
        Module -> the answer of probe.py, and module -> its error.
    """
    done: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    while todo := [name for name in names if name not in done and name not in failed]:
        answers, failure = ask(HERE / "probe.py", {"modules": todo}, seconds)
        for answer in answers:
            if "error" in answer:
                failed[answer["name"]] = answer["error"]
            elif "name" in answer:
                done[answer["name"]] = answer

        begun = answers[-1].get("begun") if answers else None
        if begun:  # The process ended while it imported this one.
            failed[begun] = failure or "its process ended without a word"
        elif failure:
            left = [name for name in todo if name not in done and name not in failed]
            failed |= dict.fromkeys(left, failure)
    return done, failed


def _way_out(name: str, package: str | None, error: str, are_sound: bool) -> str:
    """The remedy for a module that cannot be imported.

    Args:
        name: The module.
        package: The distribution that it comes with. None for a module of seqline.
        error: The error of the import.
        are_sound: See `imported`.
    """
    if package is None:
        return (
            "start it from the checkout or reinstall it (pip install --no-deps -e .); is there"
            " another folder `components`, `pipeline` or `seqline` on the path?"
        )

    try:
        home = Path(str(distribution(package).locate_file(""))).resolve()
    except PackageNotFoundError:
        return f"{package} is not installed: {INSTALL}"

    raised_in = re.search(r"raised in (.+):\d+\)$", error)
    if raised_in:
        file = Path(raised_in[1])
        if name.split(".")[0] in file.parts and not file.resolve().is_relative_to(home):
            return (
                f"this is not the {package} that is installed in {home}: PYTHONPATH or the folder"
                f" you are in hides it; remove {file}"
            )

    for number, cause in SIGNALS.items():
        if f"ended by signal {number}" in error:
            return cause

    if not are_sound:
        return f"the versions are wrong (see versions): {INSTALL}"
    version = distribution(package).version
    return f"{PIP} --force-reinstall --no-deps {package}=={version}; then: {INSTALL}"


def _devices(answer: dict[str, Any]) -> Finding:
    """The GPUs that TensorFlow sees, from the answer of probe.py."""
    version = answer["version"]
    if answer.get("gpus"):
        return Finding(OK, "devices", f"TensorFlow {version} sees {answer['gpus']} GPU(s)")
    if Path("/proc/driver/nvidia/version").exists():
        return Finding(
            WARN,
            "devices",
            f"there is an NVIDIA driver, but TensorFlow {version} sees no GPU",
            "pip install 'tensorflow[and-cuda]' of the same version; the driver must be new enough"
            " (nvidia-smi)",
        )
    return Finding(OK, "devices", f"TensorFlow {version} on the CPU; no GPU here")
