"""The manifests of deploy/ against the schemas of those who read them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from seqline.errors import LostWorkerError, StoppedError, UserError
from tests.deploy.schemas import JOBSET, KSERVE, OF_KSERVE, validate_builtin
from tests.support import CHECKOUT
from tests.support.manifests import document, documents


def validate_jobset(jobset: dict[str, Any]) -> None:
    jsonschema.validate(jobset, json.loads(JOBSET.read_text())["schema"])
    for job in jobset["spec"]["replicatedJobs"]:
        metadata = {"name": job["name"]}
        validate_builtin(
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, **job["template"]}
        )


def validate_kserve(service: dict[str, Any]) -> None:
    jsonschema.validate(service, json.loads(KSERVE.read_text())["schema"])
    predictor = service["spec"]["predictor"]
    pod = {name: value for name, value in predictor.items() if name not in OF_KSERVE}
    validate_builtin({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod})


def validate(content: dict[str, Any]) -> None:
    kinds: dict[str, Callable[[dict[str, Any]], None]] = {
        "JobSet": validate_jobset,
        "InferenceService": validate_kserve,
    }
    kinds.get(content["kind"], validate_builtin)(content)


@pytest.mark.parametrize("name", ["jobset", "serving", "kserve"])
def test_manifests_are_valid(name: str) -> None:
    for content in documents(name):
        validate(content)


@pytest.mark.parametrize(
    ("name", "kind", "path", "value"),
    [
        ("jobset", "JobSet", "spec.failurePolicy.maxRestart", 1),
        ("jobset", "JobSet", "spec.failurePolicy.rules.0.action", "Fail"),
        ("jobset", "JobSet", "spec.replicatedJobs.0.template.spec.completionsMode", "Indexed"),
        ("jobset", "JobSet", "spec.replicatedJobs.0.template.spec.parallelism", "2"),
        ("jobset", "JobSet", "apiVersion", "jobset.x-k8s.io/v1"),
        ("jobset", "NetworkPolicy", "spec.policyType", []),
        ("serving", "Deployment", "spec.template.spec.containers.0.readinessprobe", {}),
        ("serving", "Service", "spec.ports.0.port", "http"),
        ("kserve", "InferenceService", "spec.predictor.minReplica", 1),
        ("kserve", "InferenceService", "spec.predictor.containers.0.arg", []),
    ],
)
def test_a_slip_in_a_manifest_is_found(name: str, kind: str, path: str, value: object) -> None:
    content = document(name, kind)
    inner: Any = content
    *fields, last = path.split(".")
    for field in fields:
        inner = inner[int(field) if field.isdigit() else field]
    inner[last] = value
    with pytest.raises(Exception, match=re.escape(last)) as raised:
        validate(content)
    assert "ValidationError" in type(raised.value).__name__


def test_the_job_names_its_workers_and_restarts_on_the_exit_code_for_it() -> None:
    jobset = document("jobset", "JobSet")
    name = jobset["metadata"]["name"]
    (workers,) = jobset["spec"]["replicatedJobs"]
    job = workers["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    environment = {item["name"]: item["value"] for item in container["env"]}

    assert environment["SEQLINE_NUM_WORKERS"] == str(job["parallelism"]) == str(job["completions"])
    host, _, port = environment["SEQLINE_WORKER_ADDRESS"].partition(":")
    assert host == f"{name}-{workers['name']}-0-{{index}}.{name}"
    assert [item["containerPort"] for item in container["ports"]] == [int(port)]

    *_, rule = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [StoppedError.exit_code] == [LostWorkerError.exit_code]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert UserError.exit_code not in rule["onExitCodes"]["values"]


def test_the_service_finds_the_servers_and_the_probes_their_port() -> None:
    deployment, service = document("serving", "Deployment"), document("serving", "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]):
        assert selector.items() <= labels.items()

    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports)
    assert f"--rest_api_port={ports['http']}" in container["args"]
    assert f"--port={ports['grpc']}" in container["args"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}

    # Time for what is sent to the pod while it ends, and for the requests in flight.
    pod = deployment["spec"]["template"]["spec"]
    (timeout,) = [flag for flag in container["args"] if "shutdown_timeout" in flag]
    seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > seconds + int(timeout.partition("=")[2])


@pytest.mark.slow  # The import takes two seconds.
def test_the_custom_job_of_vertex_is_one() -> None:
    types = pytest.importorskip(
        "google.cloud.aiplatform_v1.types", reason="Vertex AI's client comes with the extra gcp"
    )
    (content,) = documents("vertex")
    spec = types.CustomJobSpec.from_json(json.dumps(content))
    assert [pool.replica_count for pool in spec.worker_pool_specs] == [1, 1]
    assert spec.scheduling.restart_job_on_worker_restart

    # What Vertex calls worker pool 0 is the chief; all run the same command.
    chief, worker = (pool.container_spec for pool in spec.worker_pool_specs)
    assert chief == worker

    content["workerPoolSpecs"][0]["replicas"] = 2
    with pytest.raises(Exception, match="replicas"):
        types.CustomJobSpec.from_json(json.dumps(content))


def test_every_manifest_is_in_the_documentation() -> None:
    page = (CHECKOUT / "docs" / "deploy.md").read_text()
    for path in sorted((CHECKOUT / "deploy").iterdir()):
        assert f"deploy/{path.name}" in page, path


def test_the_schemas_say_where_they_are_from() -> None:
    for path in (JOBSET, KSERVE):
        content = json.loads(Path(path).read_text())
        assert content["licence"] == "Apache-2.0"
        assert re.search(r"@v\d", content["source"])
