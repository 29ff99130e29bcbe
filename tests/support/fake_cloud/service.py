"""Does the part of Dataflow's service: runs a staged pipeline stage by stage.

Usage: python service.py FOLDER PARENT (the process with which it ends)

Workers have an environment of their own. This process needs apache-beam and nothing of the job: the
pipeline comes as a proto, and only workers open it. FOLDER holds work.json and pipeline.pb.
progress.jsonl gets a line for every stage (its name, the counters so far), and one more, with
`error`, if the job failed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_provision_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from google.protobuf import struct_pb2

FOLDER = Path(sys.argv[1])
STAGE_NAME_CHARS = 150
CONTAINER = "fake_cloud:container"
WATCH_SECONDS = 0.5


def report(**line: Any) -> None:
    with (FOLDER / "progress.jsonl").open("a", encoding="utf-8") as progress:
        progress.write(json.dumps(line) + "\n")


class ReportingRunner(fn_runner.FnApiRunner):
    """Reports every bundle when it is done: its stage, and the counters of all stages so far."""

    infos_of_stages: dict[str, list[Any]] = {}  # noqa: RUF012

    def _execute_bundle(self, context: Any, manager: Any, bundle: Any) -> Any:
        result = super()._execute_bundle(context, manager, bundle)
        infos_of_stage = self.infos_of_stages.setdefault(manager.stage.name, [])
        infos_of_stage.extend(result.process_bundle.monitoring_infos)
        metrics = fn_runner.FnApiMetrics(
            {
                name: fn_runner.consolidate_monitoring_infos(infos)
                for name, infos in self.infos_of_stages.items()
            }
        )

        counters = []
        for counter in metrics.query()["counters"]:
            metric = counter.key.metric
            counters.append([counter.key.step, metric.namespace, metric.name, counter.committed])

        names = sorted({transform.unique_name for transform in manager.stage.transforms})
        report(stage="+".join(names)[:STAGE_NAME_CHARS], counters=counters)
        return result


@worker_handlers.WorkerHandler.register_environment(CONTAINER, bytes)
class ContainerHandler(worker_handlers.GrpcWorkerHandler):  # type: ignore[misc]
    """A worker that the entrypoint of an image starts.

    It is told where its services are, and gets everything else from them.
    """

    def __init__(self, payload: bytes, *services: Any) -> None:
        super().__init__(*services)
        self.command = json.loads(payload)

    def start_worker(self) -> None:
        logging, other = self.logging_api_service_descriptor().url, self.control_address
        endpoints = [
            f"--logging_endpoint={logging}",
            *(f"--{name}_endpoint={other}" for name in ("control", "artifact", "provision")),
        ]
        self.process = subprocess.Popen([*self.command, f"--id={self.worker_id}", *endpoints])
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()

    def watch(self) -> None:
        if status := self.process.wait():
            raise RuntimeError(f"The worker's container exited with {status}; see service.log")

    def stop_worker(self) -> None:
        self.watcher.join()


def staged_files(folder: str) -> list[Any]:
    """The staged files, as the artifacts that a worker's entrypoint fetches."""
    artifacts = []
    for path in sorted(Path(folder).iterdir()):
        artifact = beam_runner_api_pb2.ArtifactInformation(
            type_urn=common_urns.artifact_types.FILE.urn,
            role_urn=common_urns.artifact_roles.STAGING_TO.urn,
        )
        artifact.type_payload = beam_runner_api_pb2.ArtifactFilePayload(
            path=str(path)
        ).SerializeToString()
        artifact.role_payload = beam_runner_api_pb2.ArtifactStagingToRolePayload(
            staged_name=path.name
        ).SerializeToString()
        artifacts.append(artifact)
    return artifacts


def workers_options(options: Any) -> Any:
    """Options with whole numbers as integers. A Struct has only doubles.

    Otherwise workers fail: "argument --parallelism: invalid int value: '-1.0'".
    """
    if isinstance(options, float) and options.is_integer():
        return int(options)
    if isinstance(options, dict):
        return {name: workers_options(value) for name, value in options.items()}
    return [workers_options(value) for value in options] if isinstance(options, list) else options


def end_with(parent: int) -> None:
    """Ends this process and its workers after the parent, so that a killed cloud leaves none."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.killpg(0, signal.SIGKILL)


def fail(error: str) -> None:
    report(error=error)
    os._exit(1)  # threads that wait for a worker would hold the process


def main() -> None:
    threading.Thread(target=end_with, args=(int(sys.argv[2]),), daemon=True).start()
    work = json.loads((FOLDER / "work.json").read_text(encoding="utf-8"))
    pipeline = beam_runner_api_pb2.Pipeline.FromString((FOLDER / "pipeline.pb").read_bytes())
    options = FOLDER / "options.json"
    options.write_text(json.dumps({"options": workers_options(work["options"])}), encoding="utf-8")

    for environment in pipeline.components.environments.values():
        del environment.dependencies[:]
        if "container" in work:
            environment.urn, environment.payload = CONTAINER, json.dumps(work["container"]).encode()
            environment.dependencies.extend(staged_files(work["staged"]))
        else:
            # In a folder of its own: nothing is imported from where the job was submitted.
            harness = f"exec {work['python']} -m apache_beam.runners.worker.sdk_worker_main"
            command = f"cd {work['cwd']} && PIPELINE_OPTIONS_FILE={options} {harness}"
            environment.urn, environment.payload = python_urns.SUBPROCESS_SDK, command.encode()

    given = struct_pb2.Struct()
    given.update({"options": work["options"]})
    provision = fn_runner.ExtendedProvisionInfo(
        beam_provision_api_pb2.ProvisionInfo(pipeline_options=given), work["staged"], "job"
    )

    # A worker that dies would leave the runner waiting for ever.
    threading.excepthook = lambda died: fail(f"{died.exc_type.__name__}: {died.exc_value}")
    try:
        runner = ReportingRunner(provision_info=provision, bundle_repeat=int(work["retry_bundles"]))
        runner.run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()
    except BaseException:
        fail(traceback.format_exc())


main()
