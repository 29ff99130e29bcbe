#!/usr/bin/env python3
"""A stand-in for /opt/apache/beam/boot, with which Beam's images begin (docs/docker.md).

It serves where those images cannot be had, and keeps the same contract with a runner: it asks the
provision service what the worker needs, fetches the staged files from the artifact service,
installs them, and becomes the harness. Unlike the original it makes no environment of its own: it
needs the default one.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from apache_beam.portability import common_urns
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
    endpoints_pb2,
)
from google.protobuf import json_format, text_format

HARNESS = "apache_beam.runners.worker.sdk_worker_main"
PIP = (
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-deps",
    "--no-index",
    "--no-build-isolation",
    "--disable-pip-version-check",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="boot")
    for name in ("id", "provision_endpoint"):
        parser.add_argument(f"--{name}", required=True)

    # The provision service gives those that are missing.
    for name in ("logging_endpoint", "artifact_endpoint", "control_endpoint"):
        parser.add_argument(f"--{name}")

    parser.add_argument("--semi_persist_dir", default="/tmp")
    given = parser.parse_args()
    if os.environ.get("RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT") != "1":
        sys.exit(
            "boot: Beam's own would make an environment here, in which the packages of this image"
            " are not seen"
        )

    worker = (("worker_id", given.id),)
    with grpc.insecure_channel(given.provision_endpoint) as channel:
        provision = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        info = provision.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(), metadata=worker
        ).info

    staged = Path(given.semi_persist_dir, "staged")
    staged.mkdir(parents=True, exist_ok=True)
    with grpc.insecure_channel(given.artifact_endpoint or info.artifact_endpoint.url) as channel:
        install(
            fetch(
                beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel),
                info.dependencies,
                staged,
                worker,
            ),
            staged,
        )

    options = staged.parent / "pipeline_options.json"
    options.write_text(
        json.dumps(whole(json_format.MessageToDict(info.pipeline_options))), encoding="utf-8"
    )
    os.environ |= {
        "WORKER_ID": given.id,
        "PIPELINE_OPTIONS_FILE": str(options),
        "SEMI_PERSISTENT_DIRECTORY": given.semi_persist_dir,
        "LOGGING_API_SERVICE_DESCRIPTOR": descriptor(
            given.logging_endpoint or info.logging_endpoint.url
        ),
        "CONTROL_API_SERVICE_DESCRIPTOR": descriptor(
            given.control_endpoint or info.control_endpoint.url
        ),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    os.execvp("python", ["python", "-m", HARNESS])


def fetch(service: Any, artifacts: Any, folder: Path, worker: Any) -> list[str]:
    """Writes the staged files into the folder, and returns their names."""
    resolved = service.ResolveArtifacts(
        beam_artifact_api_pb2.ResolveArtifactsRequest(artifacts=artifacts), metadata=worker
    ).replacements
    names = []
    for artifact in resolved:
        assert artifact.role_urn == common_urns.artifact_roles.STAGING_TO.urn, artifact.role_urn
        names.append(
            beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(
                artifact.role_payload
            ).staged_name
        )

        with (folder / names[-1]).open("wb") as file:
            for part in service.GetArtifact(
                beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact), metadata=worker
            ):
                file.write(part.data)

    print(f"boot: staged files: {', '.join(sorted(names)) or 'none'}", file=sys.stderr, flush=True)
    return names


def install(names: list[str], folder: Path) -> None:
    """Installs staged files without an index: what the image lacks stays missing."""
    wanted = [["-r", "requirements.txt"]] if "requirements.txt" in names else []
    if "extra_packages.txt" in names:
        wanted += [
            [name] for name in (folder / "extra_packages.txt").read_text(encoding="utf-8").split()
        ]
    wanted += [["workflow.tar.gz"]] if "workflow.tar.gz" in names else []
    for arguments in wanted:
        subprocess.run(["python", *PIP, *arguments], cwd=folder, check=True)


def whole(options: Any) -> Any:
    """Options with whole numbers as integers, as the original writes them: a Struct has doubles."""
    if isinstance(options, float) and options.is_integer():
        return int(options)
    if isinstance(options, dict):
        return {name: whole(value) for name, value in options.items()}
    return [whole(value) for value in options] if isinstance(options, list) else options


def descriptor(url: str) -> str:
    return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))


if __name__ == "__main__":
    main()
