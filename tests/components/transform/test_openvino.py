"""OpenVINO, an independent reader of the SavedModel, answers as TensorFlow does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.support.corpus import corpus_rows

ov = pytest.importorskip("openvino", reason="openvino is not installed")
pytest.importorskip("openvino_tokenizers", reason="openvino-tokenizers is not installed")


def read_by_openvino(saved_model: Path, signature: str, folder: Path) -> Callable:
    """Compiles a signature of a SavedModel with OpenVINO, which reads only `serving_default`.

    In the copy the signature has that name. The rest of the file is as it was exported.
    """
    shutil.copytree(saved_model, folder)
    path = folder / "saved_model.pb"
    copied = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signatures = copied.meta_graphs[0].signature_def
    chosen = signatures[signature].SerializeToString()
    signatures.clear()
    signatures["serving_default"].ParseFromString(chosen)
    path.write_bytes(copied.SerializeToString())
    core = ov.Core()  # ov.convert_model reports its use to its makers
    return core.compile_model(core.read_model(folder), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.fixture(scope="module")
def signatures(saved_model: Path) -> dict[str, tf.types.experimental.GenericFunction]:
    loaded = tf.saved_model.load(str(saved_model / "saved_model"))
    return {"keep": loaded, **loaded.signatures}


@pytest.fixture(scope="module")
def by_text(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    return read_by_openvino(
        saved_model / "saved_model", "serving_ascii", tmp_path_factory.mktemp("openvino") / "model"
    )


def test_500_texts(by_text: Callable, signatures: dict) -> None:
    texts = [row["text"] for row in corpus_rows(500)]
    expected = signatures["serving_default"](text=tf.constant(texts))
    answers = by_text([np.array(texts)])
    np.testing.assert_allclose(answers["probabilities"], expected["probabilities"], atol=1e-5)
    np.testing.assert_array_equal(answers["class_id"], expected["class_id"])


def test_a_text_that_it_would_read_otherwise_gets_no_answer(
    by_text: Callable, signatures: dict
) -> None:
    texts = ["caf\u00e9", "The cat,\tTHE\ndog!", "", "\u0130"]
    answers = by_text([np.array(texts)])
    expected = signatures["serving_default"](text=tf.constant(texts))["probabilities"].numpy()
    np.testing.assert_allclose(answers["probabilities"][[1, 2]], expected[[1, 2]], atol=1e-5)
    assert np.isnan(answers["probabilities"][[0, 3]]).all()
    assert answers["class_id"][[0, 3]].tolist() == [-1, -1]


def test_500_rows_of_ids(saved_model: Path, signatures: dict, tmp_path: Path) -> None:
    compiled = read_by_openvino(saved_model / "saved_model", "serving_ids", tmp_path / "model")
    random = np.random.default_rng(0)
    ids = random.integers(1, 200, (500, 8)) * (np.arange(8) < random.integers(0, 9, (500, 1)))
    expected = signatures["serving_ids"](ids=tf.constant(ids))["probabilities"]
    np.testing.assert_allclose(compiled({"ids": ids})["probabilities"], expected, atol=1e-5)
