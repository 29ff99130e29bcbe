"""The libraries: installed as asked for, and importable."""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path
from typing import Any

from pipeline.doctor import FAIL, OK, WARN, Finding, ask

HERE = Path(__file__).parent
TREE = HERE.parent.parent
# Without byte code, on a busy machine, all imports together take four minutes.
IMPORT_SECONDS = 600.0
READ_SECONDS = 60.0
# What is imported -> the distribution it comes with; each before those that are made of it, so that
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
# What not every run needs -> (seqline's extra, the distribution).
EXTRAS = {
    "optuna": ("tune", "optuna"),
    "sklearn": ("sample", "scikit-learn"),
    "google.cloud.storage": ("gcp", "google-cloud-storage"),
}
OWN = ("seqline.component", "pipeline.cli.app")
PIP = f"{sys.executable} -m pip install"
INSTALL = (
    "make clean install (or: pip install --no-deps --require-hashes -r requirements-runtime.lock)"
    if (TREE / "requirements-runtime.lock").is_file()
    else "install seqline's wheel in a new environment"
)


def installed() -> Iterator[Finding]:
    """Versions against pyproject.toml, the lock and each other."""
    asked, lock = _requirements(), TREE / "requirements.lock"
    if not asked:
        yield Finding(
            WARN,
            "versions",
            "neither pyproject.toml nor an installed seqline says what is needed",
            "make install in the checkout",
        )
        return
    question = {"requirements": asked, "lock": str(lock) if lock.is_file() else None}
    answers, ended = ask(HERE / "conflicts.py", question, READ_SECONDS)
    if ended or not answers:
        yield Finding(FAIL, "versions", f"cannot be compared: {ended or 'no answer'}", f"{INSTALL}")
        return
    found = answers[-1]
    for name, what, status in (
        ("missing", "not installed", FAIL),
        ("outside", "outside the range that pyproject.toml allows", FAIL),
        ("conflicts", "do not go together", FAIL),
        ("twice", "recorded twice: an installation was broken off", WARN),
        ("unlocked", "not the locked versions, with which seqline is tested", WARN),
    ):
        if found[name]:
            more = f"; and {len(found[name]) - 5} more" if len(found[name]) > 5 else ""
            yield Finding(
                status, "versions", f"{what}: {'; '.join(sorted(found[name])[:5])}{more}", INSTALL
            )
    if not any(found[name] for name in ("missing", "outside", "conflicts")):
        yield Finding(
            OK,
            "versions",
            f"{found['num_reached']} libraries go together"
            + (", as locked" if question["lock"] and not found["unlocked"] else ""),
        )


def _requirements() -> list[str]:
    project = TREE / "pyproject.toml"
    if project.is_file():
        return list(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"])
    try:
        return [line for line in requires("seqline") or () if "extra ==" not in line]
    except PackageNotFoundError:
        return []


def imported(
    fit: bool = True, modules: dict[str, str] | None = None, seconds: float = IMPORT_SECONDS
) -> Iterator[Finding]:
    """Imports everything in other processes.

    One that fails or hangs does not keep the others from being tried.

    fit: whether the versions go together; where they do not, no single library is to blame.
    """
    modules = MODULES if modules is None else modules
    extras = [name for name in EXTRAS if modules is MODULES]
    done, failed = _import_all([*modules, *extras, *OWN], seconds)
    slow = {name: each["seconds"] for name, each in done.items() if each["seconds"] > 30}
    seen: dict[str, str] = {}
    for name, error in failed.items():
        if name in extras and any(
            error == f"ModuleNotFoundError: No module named {part!r}"
            for part in (name, name.rpartition(".")[0])
        ):
            continue
        if error in seen:
            yield Finding(
                WARN if name in extras else FAIL, name, f"fails because {seen[error]} does"
            )
        elif name in extras:
            yield Finding(WARN, name, error, f"{PIP} --force-reinstall {EXTRAS[name][1]}")
        else:
            seen[error] = name
            yield Finding(FAIL, name, error, _way_out(name, modules.get(name), error, fit))
    if slow:
        shown = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in slow.items())
        yield Finding(
            WARN,
            "imports",
            f"slow: {shown}",
            "is byte code written (see above), is the disk or the machine busy?",
        )
    if not failed.keys() - set(extras):
        text = f"{len(done)} modules, {sum(each['seconds'] for each in done.values()):.0f} s"
        lacking = sorted({EXTRAS[name][0] for name in failed if name in extras})
        yield Finding(
            OK,
            "imports",
            text + (f"; extras not installed: {', '.join(lacking)}" if lacking else ""),
        )
    if "tensorflow" in done:
        yield _devices(done["tensorflow"])


def _import_all(
    names: list[str], seconds: float
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    done: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    while todo := [name for name in names if name not in done and name not in failed]:
        answers, ended = ask(HERE / "probe.py", {"modules": todo}, seconds)
        for each in answers:
            if "error" in each:
                failed[each["name"]] = each["error"]
            elif "name" in each:
                done[each["name"]] = each
        begun = answers[-1].get("begun") if answers else None
        if begun:  # the process ended in the middle of it
            failed[begun] = ended or "its process ended without a word"
        elif ended:
            failed |= dict.fromkeys(
                [name for name in todo if name not in done and name not in failed], ended
            )
    return done, failed


def _way_out(name: str, package: str | None, error: str, fit: bool) -> str:
    """name.

    What was imported. package: the distribution that it should come with, None for seqline's own
    modules.
    """
    if package is None:
        return (
            "start it from the checkout or reinstall it (pip install --no-deps -e .); is there"
            " another folder `components`, `pipeline` or `seqline` on the path?"
        )
    origin = re.search(r"raised in (.+):\d+\)$", error)
    try:
        there = Path(str(distribution(package).locate_file(""))).resolve()
    except PackageNotFoundError:
        return f"{package} is not installed: {INSTALL}"
    if (
        origin
        and name.split(".")[0] in Path(origin[1]).parts
        and not Path(origin[1]).resolve().is_relative_to(there)
    ):
        return (
            f"this is not the {package} that is installed in {there}: PYTHONPATH or the folder you"
            f" are in hides it; take {origin[1]} away"
        )
    if "ended by signal 4" in error:
        return (
            "this CPU lacks instructions that the wheel needs (see cpu): another machine, or a"
            " build for this one"
        )
    if not fit:
        return f"the versions do not go together (see versions): {INSTALL}"
    return (
        f"{PIP} --force-reinstall --no-deps {package}=={distribution(package).version}; then:"
        f" {INSTALL}"
    )


def _devices(found: dict[str, Any]) -> Finding:
    if found.get("gpus"):
        return Finding(OK, "devices", f"TensorFlow {found['version']} sees {found['gpus']} GPU(s)")
    if Path("/proc/driver/nvidia/version").exists():
        way_out = (
            "pip install 'tensorflow[and-cuda]' of the same version; the driver must be new enough"
            " (nvidia-smi)"
        )
        return Finding(
            WARN,
            "devices",
            f"there is an NVIDIA driver, but TensorFlow {found['version']} sees no GPU",
            way_out,
        )
    return Finding(OK, "devices", f"TensorFlow {found['version']} on the CPU; no GPU here")
