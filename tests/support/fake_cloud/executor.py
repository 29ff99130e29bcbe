"""Executes a submitted job as Dataflow does.

It fetches what was staged, installs it into a fresh environment over the image's packages, and runs
the staged pipeline with workers in that environment. They cannot reach the submitter's process,
folder or checkout.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from tests.support.fake_cloud import containers
from tests.support.fake_cloud.dataflow import ACTIVE, CANCELLED, DONE, FAILED, RUNNING, Job
from tests.support.fake_cloud.faults import Faults

PROJECT = "seqline"
CHECKOUT = Path(__file__).parents[3]
PACKAGES = ("components", "pipeline", "seqline", "serving")
# Beam's own images, which hold nothing of the project.
BEAMS_IMAGE = re.compile(r"(.*/)?beam_python3\.\d+_sdk:")
SERVICE = Path(__file__).with_name("service.py")
# As Dataflow, which gives up a work item of a batch job after four failures.
MAX_ATTEMPTS = 4
POLL_SECONDS = 0.05
# Variables that would lead a worker back to the submitter.
SUBMITTERS = (
    "PYTHON",
    "GOOGLE_",
    "VIRTUAL_ENV",
    "STORAGE_",
    "GCE_",
    "CURL_",
    "REQUESTS_",
    "https_proxy",
    "no_proxy",
    "SEQLINE_",
)


def make_image(folder: Path, without: Collection[str] = (), with_project: bool = False) -> Path:
    """Makes a virtual environment that plays the SDK container's image.

    It has links, not copies, so making it takes a quarter of a second.

    Args:
        folder: where to make it.
        without: distributions that it lacks, of those that are installed here.
        with_project: whether the project is in it, as in a custom image.

    Returns:
        Its site-packages.
    """
    left_out = {
        path.parts[0]
        for name in {PROJECT, *without}
        for path in distribution(name).files or ()
        if path.parts[0] != ".."
    }

    site = make_environment(folder)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name not in left_out | {"__pycache__"} and not entry.name.startswith(
            f"__editable__.{PROJECT}-"
        ):
            (site / entry.name).symlink_to(entry)

    if with_project:
        for package in PACKAGES:
            (site / package).symlink_to(CHECKOUT / package)
    return site


def make_environment(folder: Path, over: Path | None = None) -> Path:
    """Makes an empty virtual environment, and returns its site-packages.

    It also sees the packages of the site-packages `over`.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    if over:
        (site / "image.pth").write_text(f"{over}\n", encoding="utf-8")
    return site


@dataclass
class Executor:
    """Works on jobs.

    Attributes:
        folder: of the jobs' files.
        fetch: gs:// path -> content.
        faults: what is to go wrong.
        environment: the variables that workers get.
        without: distributions that the image lacks.
        in_docker: whether a job whose image docker has here is executed in a container of it.
        services: job id -> the process that works on it.
        images: (without, with the project) -> the site-packages of an image.
        making: held while an image is made.
    """

    folder: Path
    fetch: Callable[[str], bytes]
    faults: Faults
    environment: Mapping[str, str]
    without: set[str] = field(default_factory=set)
    in_docker: bool = False
    services: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    images: dict[tuple[frozenset[str], bool], Path] = field(default_factory=dict)
    making: threading.Lock = field(default_factory=threading.Lock)

    def image(self, name: str = "beam_python3.11_sdk:any") -> Path:
        """The site-packages of an image: Beam's own, or a custom one, which has the project."""
        with self.making:
            wanted = frozenset(self.without), BEAMS_IMAGE.match(name) is None
            if wanted not in self.images:
                self.images[wanted] = make_image(self.folder / f"image-{len(self.images)}", *wanted)
            return self.images[wanted]

    def execute(self, job: Job) -> None:
        """Executes a job until it is DONE, FAILED or CANCELLED, with messages that say why."""
        folder = self.folder / job.id
        try:
            self._stage(job, folder)
            worker = self._boot(job, folder)
            if not job.turn(RUNNING):
                return
            job.say("Worker environment is ready; the staged pipeline starts.")

            while job.state == RUNNING and not self._attempt(job, folder, worker):
                if job.attempts == MAX_ATTEMPTS:
                    raise RuntimeError(
                        f"The work was attempted {MAX_ATTEMPTS} times; each time the worker was"
                        " lost."
                    )
                job.say("A worker was lost; its work is done again.", "WARNING")

            if job.turn(DONE):
                job.say("Worker pool stopped.")
        except Exception as error:
            if job.state in ACTIVE:
                job.say(str(error), "ERROR")  # first, so that a client that sees FAILED finds it
                job.turn(FAILED)

    def _stage(self, job: Job, folder: Path) -> None:
        (folder / "staged").mkdir(parents=True)
        (folder / "cwd").mkdir()
        (folder / "job.json").write_text(json.dumps(job.description, indent=2), encoding="utf-8")
        (folder / "pipeline.pb").write_bytes(self.fetch(job.options["pipelineUrl"]))
        for package in job.description["environment"]["workerPools"][0].get("packages", []):
            path = "gs://" + package["location"].removeprefix("gs://").removeprefix(
                "storage.googleapis.com/"
            )
            (folder / "staged" / package["name"]).write_bytes(self.fetch(path))
        names = sorted(path.name for path in (folder / "staged").iterdir())
        job.say(f"Staged: {', '.join(names) or 'nothing'}")

    def _boot(self, job: Job, folder: Path) -> dict[str, Any]:
        """How service.py starts a worker: in a container of the job's image, or by a Python."""
        pool = job.description["environment"]["workerPools"][0]
        image = pool["sdkHarnessContainerImages"][0]["containerImage"]
        if self.in_docker and containers.config(image):
            job.say(f"Image: {image}, in docker")
            variables = {**self.environment, "JOB_ID": job.id, "JOB_NAME": job.name}
            return {"container": containers.command(image, job.id, variables)}
        job.say(f"Image: {image}")
        return {"python": str(self._install(job, folder, image))}

    def _install(self, job: Job, folder: Path, image: str) -> Path:
        """Does what the container's boot program does, and returns a worker's Python.

        It makes an environment over the image's, and installs the staged packages into it.
        """
        make_environment(folder / "venv", self.image(image))
        python = folder / "venv" / "bin" / "python"
        staged = folder / "staged"
        extra = staged / "extra_packages.txt"
        wanted = []
        if (staged / "requirements.txt").exists():
            wanted.append(["-r", "requirements.txt"])
        if extra.exists():
            wanted += [[name] for name in extra.read_text(encoding="utf-8").split()]
        if (staged / "workflow.tar.gz").exists():
            wanted.append(["workflow.tar.gz"])

        # No registry is asked: what the image lacks stays missing.
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--disable-pip-version-check",
        ]

        for arguments in wanted:
            done = subprocess.run(
                [python, *install, *arguments],
                cwd=staged,
                env=self._environment(job),
                capture_output=True,
                text=True,
            )

            if done.returncode:
                raise RuntimeError(
                    f"Failed to install packages: {arguments[-1]}: {done.stderr[-1500:]}"
                )

        return python

    def _environment(self, job: Job) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(SUBMITTERS)}
        return (
            own
            | self.environment
            | {
                "SEQLINE_CACHE": str(self.folder / "cache"),
                "JOB_ID": job.id,
                "JOB_NAME": job.name,
                "TF_CPP_MIN_LOG_LEVEL": "2",
            }
        )

    def _attempt(self, job: Job, folder: Path, worker: Mapping[str, Any]) -> bool:
        """Runs the pipeline once. Returns False if its worker was killed.

        Raises:
            RuntimeError: the job failed by itself.
        """
        job.attempts += 1
        self.faults.of("WORK", job.name)
        progress = folder / "progress.jsonl"
        progress.write_text("", encoding="utf-8")
        work = {
            "options": job.options,
            **worker,
            "cwd": str(folder / "cwd"),
            "staged": str(folder / "staged"),
            "retry_bundles": self.faults.retry_bundles,
        }
        (folder / "work.json").write_text(json.dumps(work), encoding="utf-8")
        service_python = self.image().parents[2] / "bin" / "python"

        environment = self._environment(job) | {"SEMI_PERSISTENT_DIRECTORY": str(folder)}
        with (folder / "service.log").open("ab") as log, progress.open(encoding="utf-8") as lines:
            service = subprocess.Popen(
                [service_python, SERVICE, folder, str(os.getpid())],
                cwd=folder / "cwd",
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self.services[job.id] = service

            try:
                error = _follow(job, service, lines)
            finally:
                _kill(service)
                if "container" in worker:
                    containers.kill(job.id)
                del self.services[job.id]

        if error is not None:
            raise RuntimeError(error)
        if service.returncode > 0:
            log_text = (folder / "service.log").read_text(errors="replace")
            raise RuntimeError(f"The service broke down: {log_text[-2000:]}")

        return service.returncode == 0 or job.state == CANCELLED

    def kill_workers(self) -> None:
        """Kills every worker by a signal that it cannot catch, as a preempted machine loses it."""
        for job, service in list(self.services.items()):
            _kill(service)
            if self.in_docker:
                containers.kill(job)

    def close(self) -> None:
        """Ends what still runs, and removes the files of the jobs."""
        self.kill_workers()
        shutil.rmtree(self.folder, ignore_errors=True)


def _follow(job: Job, service: subprocess.Popen[bytes], lines: Any) -> str | None:
    """Passes on what the service reports, until it ends or the job is cancelled.

    Returns:
        The error that it reported, if any.
    """
    while True:
        running = service.poll() is None
        for line in lines:
            progress = json.loads(line)
            if "error" in progress:
                return str(progress["error"])
            job.say(f"Finished operation {progress['stage']}", "DETAILED")
            for step, namespace, name, value in progress["counters"]:
                job.counters[step, namespace, name] = value
        if not running or job.state == CANCELLED:
            return None
        time.sleep(POLL_SECONDS)


def _kill(service: subprocess.Popen[bytes]) -> None:
    """Kills the service with its workers, which are in its process group."""
    with suppress(ProcessLookupError):
        os.killpg(service.pid, signal.SIGKILL)
    service.wait()
