"""Finds the problems of a job before it is sent to Dataflow.

It takes seconds, reports all problems at once, and imports neither Beam nor TensorFlow.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from components.bulk_inferrer import BulkInferrerParams
from components.evaluator import EvaluatorParams
from components.example_gen import ExampleGenParams
from pipeline.dataflow.disk import of_disk
from pipeline.dataflow.services import of_services
from pipeline.runner.plan import Pipeline
from seqline.errors import UserError
from seqline.host import packages
from seqline.jobs import dataflow, shipping
from seqline.jobs.dataflow import option
from seqline.storage.files import is_remote
from seqline.storage.objects import is_google

NEEDED = {
    "project": "the Google Cloud project",
    "region": "where the workers run, e.g. europe-west1",
    "temp_location": "gs://bucket/path",
}
INSPECT_SECONDS = 5
GOOGLES_REGISTRIES = re.compile(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)/")
# The versions in an image's name, for an image whose labels cannot be read:
# beam_python3.11_sdk:2.77.0, worker:py3.11-beam2.77.0.
PYTHON_IN_NAME = re.compile(r"py(?:thon)?[-_]?(3\.\d+)")
BEAM_IN_NAME = re.compile(r"(?:beam[-_]?|beam_python3\.\d+_sdk:)(\d+\.\d+\.\d+)")


class PreflightError(UserError):
    """All problems that keep a job from running.

    Attributes:
        problems: one sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        many = "one thing stands" if len(problems) == 1 else f"{len(problems)} things stand"
        super().__init__(
            f"{many} in the way of Dataflow; nothing was submitted:"
            + "".join(f"\n  - {problem}" for problem in problems)
        )
        self.problems = list(problems)


def check(pipeline: Pipeline, root: str, beam_args: Sequence[str]) -> None:
    """Checks a run of the pipeline's stages, and asks Dataflow and the buckets.

    Raises:
        PreflightError: the run cannot work on Dataflow.
    """
    packages.need("Dataflow", packages.DATAFLOW)
    problems = [
        *of_flags(beam_args),
        *of_places(pipeline, root, beam_args),
        *of_code(pipeline, beam_args),
        *of_versions(beam_args),
        *of_services(root, beam_args),
        *of_disk(pipeline, beam_args),
    ]

    if problems:
        raise PreflightError(problems)


def check_infer(
    params: BulkInferrerParams, model: str, output: str, beam_args: Sequence[str]
) -> None:
    """As `check`, for bulk predictions alone."""
    packages.need("Dataflow", packages.DATAFLOW)
    problems = [*of_flags(beam_args), *_of_folders(beam_args)]
    if not is_google(output):
        problems.append(
            f"output {output!r} {_where(output)}, where workers cannot write: "
            "--output=gs://bucket/path"
        )
    if not is_google(model):
        problems.append(
            f"model {model!r} {_where(model)}, which workers cannot read: name it under gs://"
        )

    problems += [
        *_of_rows(params),
        *of_code(Pipeline(), beam_args),
        *of_versions(beam_args),
        *of_services(output, beam_args),
        *of_disk(Pipeline(), beam_args),
    ]

    if problems:
        raise PreflightError(problems)


def of_flags(beam_args: Sequence[str]) -> Iterator[str]:
    """Problems with the flags: missing, harmful or malformed ones. Beam knows all of them."""
    for name, meaning in NEEDED.items():
        if not option(beam_args, name):
            yield f"--{name} is missing: {meaning}"

    if "--save_main_session" in beam_args:
        yield (
            "--save_main_session sends the state of the command line to the workers, which need "
            "none of it: leave it out"
        )

    yield from _of_addresses(beam_args)
    job = option(beam_args, "job_name")
    if job and not re.fullmatch("[a-z]([-a-z0-9]{0,60}[a-z0-9])?", job):
        yield (
            f"--job_name={job} is not a job name: use only lower case letters, digits and hyphens, "
            "and begin with a letter"
        )


def _of_addresses(beam_args: Sequence[str]) -> Iterator[str]:
    """Workers without public addresses reach Google's services, and no package index."""
    if "--no_use_public_ips" not in beam_args:
        return

    image = option(beam_args, "sdk_container_image")
    if not image and not option(beam_args, "requirements_file"):
        yield (
            "--no_use_public_ips: such workers cannot reach the package index from which they "
            "install the dependencies: name an image that has them, --sdk_container_image=... "
            "(docs/docker.md); behind Cloud NAT, -- --requirements_file=... names what they install"
        )
    if image and not GOOGLES_REGISTRIES.match(image):
        yield (
            f"--no_use_public_ips: such workers cannot fetch the image {image}, which is not in "
            "Google's Artifact Registry: push it to REGION-docker.pkg.dev/PROJECT/..."
        )


def of_places(pipeline: Pipeline, root: str, beam_args: Sequence[str]) -> Iterator[str]:
    """Problems with places: what workers on other machines read or write must be under gs://."""
    yield from _of_folders(beam_args)
    if not is_google(root):
        yield (f"root {root!r} {_where(root)}, where workers cannot write: --root=gs://bucket/path")

    for stage in pipeline.stages:
        if isinstance(stage.params, ExampleGenParams):
            yield from _of_source(stage.params)
        if isinstance(stage.params, BulkInferrerParams):
            yield from _of_rows(stage.params)
        if (
            isinstance(stage.params, EvaluatorParams)
            and stage.params.serving_dir
            and not is_google(stage.params.serving_dir)
        ):
            yield (
                f"serving_dir {stage.params.serving_dir!r} {_where(stage.params.serving_dir)}, "
                "where workers cannot read the served version that the evaluator compares with: "
                "--serving-dir=gs://bucket/path"
            )


def _where(place: str, kind: str = "folder") -> str:
    return "is not under gs://" if is_remote(place) else f"is a {kind} of this machine"


def _of_folders(beam_args: Sequence[str]) -> Iterator[str]:
    for name in ("temp_location", "staging_location"):
        place = option(beam_args, name)
        if place and not is_google(place):
            yield f"--{name}={place} is not under gs://"


def _of_rows(params: BulkInferrerParams) -> Iterator[str]:
    if params.source and not is_google(params.source):
        yield (
            f"bulk_inferrer.source {params.source!r} {_where(params.source, 'file')}, which "
            "workers cannot read: copy it to a bucket under gs://"
        )


def _of_source(params: ExampleGenParams) -> Iterator[str]:
    sources = [params.source] if isinstance(params.source, str) else list(params.source.values())
    for source in sources:
        if source.startswith("tfds:"):
            if not is_google(params.data_dir):
                yield (
                    f"example_gen.source {source!r} is prepared in data_dir {params.data_dir!r}, "
                    "which workers cannot read: --data-dir=gs://bucket/path"
                )
        elif not is_google(source):
            yield (
                f"example_gen.source {source!r} {_where(source, 'file')}, which workers cannot "
                "read: copy it to a bucket under gs://"
            )


def of_code(
    pipeline: Pipeline,
    beam_args: Sequence[str],
    root: Path = shipping.CODE_ROOT,
    project: str = shipping.PROJECT,
) -> Iterator[str]:
    """Problems with the code: whether the workers will have it.

    Args:
        pipeline: whose components they need.
        beam_args: the flags, which may name another way to ship the code.
        root: the folder of the packages, a checkout or site-packages.
        project: the distribution's name, for code that is installed.
    """
    given = option(beam_args, "setup_file")
    if given and not Path(given).is_file():
        yield f"--setup_file={given} does not exist"
    elif given and Path(given).name not in ("setup.py", "pyproject.toml"):
        yield f"--setup_file={given} must be named setup.py or pyproject.toml"

    for flag in ("extra_package", "requirements_file"):
        file = option(beam_args, flag)
        if file and not is_google(file) and not Path(file).is_file():
            yield f"--{flag}={file} does not exist"

    for stage in pipeline.stages:
        if stage.component.takes("beam_args") and stage.component.run.__module__ == "__main__":
            yield (
                f"{stage.name} is defined in the script that is run (__main__), which workers "
                "cannot import: put it into a package"
            )

    if any(option(beam_args, flag) for flag in shipping.CODE_FLAGS):
        return
    try:
        shipped = shipping.packages(root, project)
    except (PackageNotFoundError, KeyError):
        yield (
            f"the code cannot be packed: {root} has no setup.py and is not an installed package; "
            "name one by -- --setup_file=..."
        )
        return
    yield from _of_packages(pipeline, shipped, root)


def _of_packages(pipeline: Pipeline, shipped: Sequence[str], root: Path) -> Iterator[str]:
    """Packages that workers would lack: siblings of shipped ones, and those of components."""
    tops = sorted({package.partition(".")[0] for package in shipped})
    for top in tops:
        for path in sorted((root / top).rglob("__init__.py")):
            package = ".".join(path.parent.relative_to(root).parts)
            if package not in shipped:
                yield (
                    f"{package} is not among the packages of pyproject.toml: "
                    "workers would not have it"
                )

    for stage in pipeline.stages:
        module = stage.component.run.__module__
        if (
            stage.component.takes("beam_args")
            and module != "__main__"
            and module.partition(".")[0] not in tops
        ):
            yield (
                f"{stage.name} is in {module}, which is not shipped: "
                "name its package by -- --extra_package=... or --sdk_container_image"
            )


def of_versions(beam_args: Sequence[str]) -> Iterator[str]:
    """Problems with versions: workers must have this machine's.

    Pickled code and coders fit no others.
    """
    requirements = option(beam_args, "requirements_file")
    if requirements and Path(requirements).is_file():
        content = Path(requirements).read_text(encoding="utf-8")
        for name, wanted in re.findall(r"^([\w.-]+)==([\w.+!]+)", content, re.MULTILINE):
            here = _installed(name)
            if here not in (None, wanted):
                yield (
                    f"{requirements} asks for {name} {wanted}; here it is {here}: "
                    "workers must have the submitter's versions"
                )

    image = option(beam_args, "sdk_container_image")
    if not image:
        return

    facts = image_facts(image)
    facts_here = {
        "python": shipping.python(),
        "beam": _installed("apache-beam"),
        "pins": shipping.pins_digest() if "pins" in facts else "",
    }
    nouns = {
        "python": "Python",
        "beam": "apache-beam",
        "pins": "a set of dependencies with the digest",
    }

    for fact, value in facts.items():
        if value != facts_here[fact]:
            yield (
                f"the image {image} has {nouns[fact]} {value}, this machine {facts_here[fact]}: "
                "build it from this version, or run from that one"
            )


def image_facts(
    image: str, inspect: Callable[[str], Mapping[str, str]] | None = None
) -> dict[str, str]:
    """The versions in an image, as far as it tells them: "python", "beam" and "pins" (a digest).

    Args:
        image: its name.
        inspect: image -> its labels, none for an image that cannot be inspected; by default the
            local docker is asked. Without a label, the image's name may tell.
    """
    labels = (inspect or _labels)(image)
    facts = {
        fact: labels[f"seqline.{fact}"]
        for fact in ("python", "beam", "pins")
        if labels.get(f"seqline.{fact}")
    }

    name = image.rpartition("/")[2].partition("@")[0]
    for fact, pattern in (("python", PYTHON_IN_NAME), ("beam", BEAM_IN_NAME)):
        if fact not in facts and (match := pattern.search(name)):
            facts[fact] = match[1]
    return facts


def _labels(image: str) -> dict[str, str]:
    if shutil.which("docker") is None:
        return {}

    command = ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSPECT_SECONDS, check=True
        )
        return dict(json.loads(done.stdout) or {})
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def jobs(
    pipeline: Pipeline, keys: Mapping[str, str | None], root: str, beam_args: Sequence[str]
) -> list[dict[str, Any]]:
    """The jobs that a run would submit, as `--dry-run` prints them.

    Args:
        pipeline: the pipeline of the run.
        keys: the stages that would run -> their keys, None for a key that is not known yet.
        root: where the artifacts are written.
        beam_args: the flags for Beam.
    """
    planned = []
    with shipping.shipped(beam_args) as flags:
        for stage in pipeline.stages:
            if stage.component.takes("beam_args") and stage.name in keys:
                key = keys[stage.name] or "<key>"
                own = dataflow.job_flags(flags, stage.name, key, root)
                planned.append(
                    {"stage": stage.name, "job_name": option(own, "job_name"), "flags": list(own)}
                )
    return planned
