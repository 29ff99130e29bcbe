"""Requests of tensorflow-serving-api's stubs, and what a server answers or refuses."""

from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

SECONDS = 60
CODE = grpc.StatusCode
HALF = "half_plus_three"


def predict_request(name: str, signature: str = "", **inputs: Any) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def predict(stub: Any, *arguments: str, **inputs: Any) -> dict[str, np.ndarray]:
    answer = stub.Predict(predict_request(*arguments, **inputs), timeout=SECONDS)
    return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}


def example_request(kind: Any, name: str, signature: str, *rows: dict[str, Any]) -> Any:
    request = kind()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for row in rows:
        features = request.input.example_list.examples.add().features.feature
        for key, value in row.items():
            if isinstance(value, str):
                features[key].bytes_list.value.append(value.encode())
            else:
                features[key].float_list.value.append(value)
    return request


def refusal(call: Any, request: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=SECONDS, **options)
    return raised.value.code(), raised.value.details()
