"""Launches Flex Templates as Dataflow does.

It matches the parameters against the template's metadata, runs the image's file with them and the
launch's flags, and takes the graph that the file wrote to --template_location.
"""

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from google.cloud.dataflow_v1beta3 import ContainerSpec, LaunchFlexTemplateRequest

from tests.support.fake_cloud import containers
from tests.support.fake_cloud.executor import CHECKOUT, SUBMITTERS, Executor

# The Dockerfile copies it to the path in FLEX_TEMPLATE_PYTHON_PY_FILE.
FILE = CHECKOUT / "pipeline" / "dataflow" / "flex_template.py"
# As Dataflow, which gives up on a launcher after some time.
SECONDS = 600


class LaunchError(ValueError):
    """A launch that the service refuses (status 400), or whose file failed."""


@dataclass
class Launcher:
    """Launches templates in the images that jobs are executed in."""

    folder: Path  # gets a folder for each launch, with its console's log
    executor: Executor
    fetch: Callable[[str], bytes]

    def launch(self, endpoint: str, project: str, region: str, body: bytes) -> bytes:
        """The description of the job that a launch makes. Raises LaunchError."""
        request = LaunchFlexTemplateRequest.from_json(
            body, ignore_unknown_fields=False
        ).launch_parameter
        spec = ContainerSpec.from_json(
            self.fetch(request.container_spec_gcs_path), ignore_unknown_fields=False
        )
        parameters = dict(request.parameters)
        _validate(spec, parameters)
        staging = request.environment.staging_location or request.environment.temp_location
        graph = f"{staging.rstrip('/')}/template_launches/{uuid.uuid4().hex}/job_object"
        machine = request.environment.machine_type or spec.default_environment.machine_type
        image = (
            request.environment.sdk_container_image or spec.default_environment.sdk_container_image
        )
        flags = {
            "runner": "DataflowRunner",
            "project": project,
            "region": region,
            "job_name": request.job_name,
            "temp_location": request.environment.temp_location,
            "staging_location": staging,
            "template_location": graph,
            "dataflow_endpoint": endpoint,
            **({"machine_type": machine} if machine else {}),
            **({"sdk_container_image": image} if image else {}),
            **parameters,
        }
        self._run(spec.image, [f"--{name}={value}" for name, value in flags.items()])

        try:
            return self.fetch(graph)
        except KeyError:
            raise LaunchError(f"Unable to open template file: {graph}") from None

    def _run(self, image: str, flags: list[str]) -> None:
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir(parents=True)

        if self.executor.in_docker and containers.config(image):
            file = str(containers.variable(image, "FLEX_TEMPLATE_PYTHON_PY_FILE"))
            command = [
                *containers.command(image, "launch", self.executor.environment, "python"),
                file,
            ]
            environment = dict(os.environ)  # of docker's client
        else:
            command = [
                str(self.executor.image(image).parents[2] / "bin" / "python"),
                str(shutil.copy(FILE, folder)),
            ]
            environment = {
                name: value for name, value in os.environ.items() if not name.startswith(SUBMITTERS)
            }
            environment |= self.executor.environment

        try:
            done = subprocess.run(
                [*command, *flags],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise LaunchError(
                "Timeout in polling result file. Your launch takes too long time to finish."
            ) from None

        (folder / "console.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode:
            raise LaunchError(
                "Error occurred in the launcher container: Template launch failed:"
                f" {done.stderr[-2000:]}"
            )


def _validate(spec: ContainerSpec, parameters: dict[str, str]) -> None:
    known = {parameter.name: parameter for parameter in spec.metadata.parameters}
    for name in parameters:
        if name not in known:
            raise LaunchError(
                f"The template parameters are invalid. Unrecognized parameter: {name}"
            )

    for name, parameter in known.items():
        if name not in parameters:
            if not parameter.is_optional:
                raise LaunchError(
                    f"The template parameters are invalid. Missing required parameter: {name}"
                )
        elif not all(re.search(regex, parameters[name]) for regex in parameter.regexes):
            raise LaunchError(
                f"The template parameters are invalid. Parameter {name} does not match"
                f" {list(parameter.regexes)}"
            )
