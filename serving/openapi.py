"""The REST side as an OpenAPI document, made of the signatures of the models that are loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.model import DEFAULT_SIGNATURE, LoadedModel, Signature
from serving.tensors import Tensor

JSON = "application/json"
ERROR = {"$ref": "#/components/schemas/Error"}
# What any request may get, whatever it asks.
COMMON_ERRORS = {
    400: "The request is wrong; the error says why.",
    401: "The server wants its token.",
    405: "The method is not allowed here; the header Allow names those that are.",
    408: "The request did not arrive in time.",
    421: "The host is not served here.",
    431: "The headers are too long.",
    500: "An error of the server, whose log has more.",
    503: "The server has too much to do, or the version is being loaded. Try again.",
    504: "The answer took too long.",
}
MODEL_ERRORS = COMMON_ERRORS | {404: "There is no such model or version."}
CALL_ERRORS = MODEL_ERRORS | {
    413: "The body, its rows or its values are over a limit.",
    415: "The body has an encoding that is not known here.",
}
EXAMPLES_SIGNATURE = "serving_examples"
BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


@dataclass(frozen=True)
class Shown:
    """A model in the document.

    Attributes:
        loaded: The version that answers.
        verbs: "classify" and "regress" -> the signatures that they ask.
        versions: The numbers of the versions that take requests.
        labels: The labels of such versions.
    """

    loaded: LoadedModel
    verbs: Mapping[str, Iterable[str]]
    versions: Iterable[int]
    labels: Iterable[str]


def document(models: Mapping[str, Shown]) -> dict[str, Any]:
    """The document of the models by name."""
    paths = {
        "/healthz": _get("Whether the server runs", _object({"status": {"const": "ok"}})),
        "/readyz": _get("Whether models answer", _object({"status": {"const": "ready"}})),
        "/metrics": _get("Metrics for Prometheus", {"type": "string"}, "text/plain"),
        "/openapi.json": _get("This document", {"type": "object"}),
        "/v1/models": _get(
            "The names of the models",
            _object({"models": {"type": "array", "items": {"type": "string"}}}),
        ),
    }
    for name, model in models.items():
        paths |= _model_paths(name, model)

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "seqline serve",
            "version": "1",
            "description": "TensorFlow Serving's REST API for the models that are loaded now.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": _object({"error": {"type": "string"}}),
                "Status": _status(),
                "Base64": _object({"b64": {"type": "string", "pattern": BASE64}}),
            }
        },
    }


def _model_paths(name: str, model: Shown) -> dict[str, Any]:
    """The paths of a model: of its newest version, of one by number and of one by label."""
    verbs = model.verbs
    # The default one comes first: it is the example that a reader looks for.
    signatures = sorted(
        model.loaded.signatures.values(), key=lambda one: one.name != DEFAULT_SIGNATURE
    )
    request = {"anyOf": [form for one in signatures for form in _requests(one)]}
    answer = {"anyOf": [form for one in signatures for form in _answers(one)]}
    metadata = _object(
        {"model_spec": {"type": "object"}, "metadata": {"type": "object"}},
    )

    choices: list[tuple[str, list[Any]]] = [
        ("", []),
        ("/versions/{version}", [_parameter("version", {"pattern": _numbers(model.versions)})]),
    ]
    if model.labels:
        choices.append(("/labels/{label}", [_parameter("label", {"enum": list(model.labels)})]))

    paths: dict[str, Any] = {}
    for suffix, parameters in choices:
        base = f"/v1/models/{name}{suffix}"
        added = {
            base: _get("The states of its versions", {"$ref": "#/components/schemas/Status"}),
            f"{base}/metadata": _get("Its signatures", metadata),
            f"{base}:predict": _post("Asks the model", request, answer),
        }
        if verbs["classify"]:
            added[f"{base}:classify"] = _post(
                "Classifies tf.Examples", _examples_request(model, "classify"), _classes_answer()
            )
        if verbs["regress"]:
            results = {"type": "array", "items": {"type": "number"}}
            added[f"{base}:regress"] = _post(
                "Regression of tf.Examples",
                _examples_request(model, "regress"),
                _object({"results": results, "result": results}),
            )

        for path in added.values():
            path["parameters"] = parameters
            verb, errors = ("get", MODEL_ERRORS) if "get" in path else ("post", CALL_ERRORS)
            path[verb]["responses"] |= _errors(errors)
        paths |= added
    return paths


# Requests.


def _requests(signature: Signature) -> list[dict[str, Any]]:
    """The forms of a predict request: rows or columns."""
    # No name and an empty one mean the default, as in a protocol buffer.
    is_default = signature.name == DEFAULT_SIGNATURE
    named = {"signature_name": {"enum": ["", signature.name] if is_default else [signature.name]}}
    required = [] if is_default else ["signature_name"]
    forms = []

    if all(spec.shape is None or spec.shape for spec in signature.inputs.values()):
        rows = {name: _tensor(spec, True) for name, spec in signature.inputs.items()}
        instances: dict[str, Any] = {"type": "array", "items": _object(rows), "minItems": 1}
        if len(rows) == 1:
            plain = {**instances, "items": next(iter(rows.values()))}
            instances = {"anyOf": [instances, plain]}
        forms.append(_form(named, required, instances=instances, inputs=False))

    columns = {name: _tensor(spec) for name, spec in signature.inputs.items()}
    inputs: dict[str, Any] = {"type": "object", "properties": columns, "required": list(columns)}
    if len(columns) == 1:
        inputs = {"anyOf": [inputs, next(iter(columns.values()))]}
    forms.append(_form(named, required, inputs=inputs, instances=False))
    return forms


def _form(named: dict[str, Any], required: list[str], **keys: Any) -> dict[str, Any]:
    needed = [key for key, schema in keys.items() if schema]
    return {"type": "object", "properties": {**named, **keys}, "required": [*required, *needed]}


def _examples_request(model: Shown, verb: str) -> dict[str, Any]:
    value: dict[str, Any] = {
        "anyOf": [
            {"type": "string"},
            {"type": "number"},
            {"$ref": "#/components/schemas/Base64"},
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"type": "number"}},
        ]
    }
    example: dict[str, Any] = {"type": "object", "additionalProperties": value}
    properties: dict[str, Any] = {"examples": {"type": "array", "items": example, "minItems": 1}}
    names = list(model.verbs[verb])
    if not {DEFAULT_SIGNATURE, EXAMPLES_SIGNATURE} & {*names}:
        return _form({"signature_name": {"enum": names}}, ["signature_name"], **properties)

    default = model.loaded.signatures.get(DEFAULT_SIGNATURE)
    if default is not None and list(default.inputs) == ["text"]:
        # A model of the exporter's: its tf.Examples hold what its other signatures take.
        example["properties"] = {"text": {"type": "string"}}
        example["required"] = ["text"]
    else:
        properties["context"] = {"type": "object", "additionalProperties": value}
    return _form({"signature_name": {"enum": ["", *names]}}, [], **properties)


# Answers.


def _answers(signature: Signature) -> list[dict[str, Any]]:
    outputs = {name: _tensor(spec, answer=name) for name, spec in signature.outputs.items()}
    columns = _object(outputs) if len(outputs) > 1 else next(iter(outputs.values()))
    forms = [_object({"outputs": columns})]

    if all(spec.shape is None or spec.shape for spec in signature.outputs.values()):
        rows = {name: _tensor(spec, True, name) for name, spec in signature.outputs.items()}
        row = _object(rows) if len(rows) > 1 else next(iter(rows.values()))
        forms.append(_object({"predictions": {"type": "array", "items": row}}))
    return forms


def _classes_answer() -> dict[str, Any]:
    # Not prefixItems, which tools turn into what JSON Schema took for it before.
    value = {"type": ["string", "number"]}
    pair = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    results = {"type": "array", "items": {"type": "array", "items": pair}}
    return _object({"results": results, "result": results})


def _status() -> dict[str, Any]:
    status = _object(
        {"error_code": {"enum": ["OK", "UNKNOWN"]}, "error_message": {"type": "string"}}
    )
    version = _object(
        {
            "version": {"type": "string", "pattern": "^[0-9]+$"},
            "state": {"enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
            "status": status,
        }
    )
    return _object({"model_version_status": {"type": "array", "items": version}})


def _tensor(spec: Tensor, one_row: bool = False, answer: str = "") -> dict[str, Any]:
    """A tensor as nested lists.

    Args:
        spec: The tensor.
        one_row: Without its first dimension.
        answer: Its name, if it is an output.
    """
    schema = _value(spec.dtype, answer)
    if spec.shape is None:
        return {}
    sizes = spec.shape[1:] if one_row else spec.shape
    for depth, size in reversed(list(enumerate(sizes, start=1))):
        schema = {"type": "array", "items": schema}
        if size != -1:
            schema |= {"minItems": size, "maxItems": size}
        elif depth < len(sizes) and not answer:
            schema["minItems"] = 1  # An empty list does not tell how many lists it would hold.
    return schema


def _value(dtype: np.dtype, answer: str) -> dict[str, Any]:
    if dtype.kind == "b":
        return {"type": "boolean"}
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
    if dtype.kind == "O":
        encoded = {"$ref": "#/components/schemas/Base64"}
        if answer:
            return encoded if answer.endswith("_bytes") else {"type": "string"}
        return {"anyOf": [{"type": "string"}, encoded]}
    return {"type": "number"}


# Parts of the document.


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


def _numbers(versions: Iterable[int]) -> str:
    """The pattern of the versions in a path, where zeros may come first: 7, 007."""
    return f"^0{{0,9}}({'|'.join(map(str, versions))})$"


def _get(summary: str, schema: dict[str, Any], media_type: str = JSON) -> dict[str, Any]:
    answer = {"description": summary, "content": {media_type: {"schema": schema}}}
    return {"get": {"summary": summary, "responses": {"200": answer, **_errors(COMMON_ERRORS)}}}


def _post(summary: str, request: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    version = {"description": "The version that answered.", "schema": {"type": "string"}}
    answer = {
        "description": summary,
        "headers": {"X-Model-Version": {**version, "required": True}},
        "content": {JSON: {"schema": schema}},
    }
    body = {"required": True, "content": {JSON: {"schema": request}}}
    return {"post": {"summary": summary, "requestBody": body, "responses": {"200": answer}}}


def _errors(errors: Mapping[int, str]) -> dict[str, Any]:
    content = {JSON: {"schema": ERROR}}
    return {
        str(status): {"description": description, "content": content}
        for status, description in errors.items()
    }
