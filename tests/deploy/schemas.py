"""Schemas of JobSet and KServe, as far as deploy/ uses them, from their own definitions.

    go mod download -json sigs.k8s.io/jobset@v0.10.1          # "Dir" is the folder
    go mod download -json github.com/kserve/kserve@v0.16.0
    python -m tests.deploy.schemas <folder of jobset> <folder of kserve>

writes tests/deploy/schemas/*.json. The definitions have a megabyte each, of which nearly all is the
pod templates within: these are validated by Kubernetes' own schemas instead. Both projects have the
Apache License 2.0, as this one.
"""

import json
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

FOLDER = Path(__file__).parent / "schemas"
JOBSET, KSERVE = FOLDER / "jobset.json", FOLDER / "kserve.json"
SOURCES = {
    JOBSET: "sigs.k8s.io/jobset@v0.10.1/config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml",
    KSERVE: "github.com/kserve/kserve@v0.16.0/config/crd/full/"
    "serving.kserve.io_inferenceservices.yaml",
}
# What Kubernetes' version of the built-in kinds is.
KUBERNETES = "1.31"
# What says nothing about whether a document is valid.
DROPPED = {"description", "default", "format", "example"}
# The fields of a predictor that are not those of a pod, and that deploy/ may use.
OF_KSERVE = {
    "annotations",
    "canaryTrafficPercent",
    "containerConcurrency",
    "labels",
    "logger",
    "maxReplicas",
    "minReplicas",
    "scaleMetric",
    "scaleMetricType",
    "scaleTarget",
    "timeout",
}
# The fields of the pod that deploy/ may use.
OF_PODS = {
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "imagePullSecrets",
    "nodeSelector",
    "securityContext",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "volumes",
}


def validate_builtin(document: dict[str, Any]) -> None:
    """Validates a document of a built-in kind. An unknown field is an error."""
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def definition(path: Path) -> dict[str, Any]:
    """The schema of the newest version of a CustomResourceDefinition, and its name."""
    content = yaml.safe_load(path.read_text())["spec"]
    version = content["versions"][-1]
    schema = version["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]
    properties = schema["properties"]
    properties["apiVersion"] = {"const": f"{content['group']}/{version['name']}"}
    properties["kind"] = {"const": content["names"]["kind"]}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return schema


def closed(schema: Any) -> Any:
    """A schema for jsonschema, in which unknown fields are errors."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema

    result = {}
    for name, value in schema.items():
        if name == "properties":
            result[name] = {field: closed(inner) for field, inner in value.items()}
        elif name not in DROPPED and not name.startswith("x-kubernetes-"):
            result[name] = closed(value)
    if "properties" in schema:
        result["additionalProperties"] = False
    return result


def jobset(path: Path) -> dict[str, Any]:
    schema = definition(path)
    schema["properties"]["spec"]["properties"]["replicatedJobs"]["items"]["properties"][
        "template"
    ] = {}
    return schema


def kserve(path: Path) -> dict[str, Any]:
    schema = definition(path)
    spec = schema["properties"]["spec"]["properties"]
    predictor = spec["predictor"]["properties"]
    spec["predictor"]["properties"] = {
        **{name: predictor[name] for name in OF_KSERVE},
        **{name: {} for name in OF_PODS if name in predictor},
    }
    schema["properties"]["spec"]["properties"] = {"predictor": spec["predictor"]}
    return schema


def main() -> None:
    roots = [Path(argument) for argument in sys.argv[1:]]
    for (target, source), root, make in zip(SOURCES.items(), roots, (jobset, kserve), strict=True):
        path = root / source.partition("@")[2].partition("/")[2]
        content = {"source": source, "licence": "Apache-2.0", "schema": closed(make(path))}
        target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
