from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


def test_warm_up_requests_are_real_rows_and_get_answers(
    saved_model: Path, serve: tf.types.experimental.GenericFunction
) -> None:
    path = saved_model / "saved_model" / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]

    sizes: dict[str, list[int]] = {"serving_default": [], "serving_examples": []}
    for log in logs:
        request = log.predict_log.request
        name = request.model_spec.signature_name
        given = {
            key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()
        }
        answer = serve.model.signatures[name](**given)
        sizes[name].append(len(answer["label"]))

    assert sizes == {
        "serving_default": [1, 1, 1, 4, 16],
        "serving_examples": [1, 1, 1, 4, 16],
    }
