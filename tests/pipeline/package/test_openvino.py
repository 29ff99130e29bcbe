"""A model for OpenVINO, which answers as the SavedModel does or is refused."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.package.choose import Chosen, choose
from seqline.errors import UserError

ov = pytest.importorskip("openvino", reason="openvino is not installed")
pytest.importorskip("openvino_tokenizers", reason="openvino-tokenizers is not installed")

from pipeline.package import openvino  # noqa: E402 after the skip: it needs OpenVINO


@pytest.fixture
def chosen(served: Path, tmp_path: Path) -> Chosen:
    return choose("1", str(served), str(tmp_path))


def test_the_parts_answer_as_the_saved_model_does(
    chosen: Chosen, root: Path, tmp_path: Path
) -> None:
    file, lines = openvino.write(chosen, str(tmp_path / "a"), "topics", str(root), False)
    assert file.name == "topics-1-openvino.zip"
    assert [line.split(",")[0].partition(" as ")[0] for line in lines] == [
        "serving_ids answers 54 rows of test",
        "serving_ascii answers 54 rows of test",
    ]

    with zipfile.ZipFile(file) as made:
        made.extractall(tmp_path / "made")
    proof = json.loads((tmp_path / "made" / "proof.json").read_text())
    assert list(proof["parts"]) == ["ids.xml", "text.xml"]
    for part in proof["parts"].values():
        assert 0 <= part["difference"] <= part["tolerance"] == 5e-5

    # By hand: the ids of a text, from the vocabulary that is in the archive.
    vocabulary = (tmp_path / "made" / "assets" / "tokens").read_text().splitlines()
    ids = np.array([[vocabulary.index(token) + 1 for token in ("the", "iron")]])
    compiled = ov.compile_model(
        tmp_path / "made" / "ids.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    serve = tf.saved_model.load(str(chosen.folder)).signatures["serving_default"]
    expected = serve(text=tf.constant(["the iron"]))
    np.testing.assert_allclose(
        compiled({"ids": ids})["probabilities"], expected["probabilities"], atol=1e-6
    )

    again, _ = openvino.write(chosen, str(tmp_path / "b"), "topics", str(root), False)
    assert again.read_bytes() == file.read_bytes()


def test_without_the_examples_the_warm_up_requests_are_compared(
    chosen: Chosen, tmp_path: Path
) -> None:
    _, lines = openvino.write(chosen, str(tmp_path / "a"), "topics", str(tmp_path), False)
    assert lines[0].startswith("serving_ids answers 23 rows of the warm-up requests as TensorFlow")


def test_a_graph_with_other_operations_is_refused_by_their_names(
    chosen: Chosen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a model with a wide part, which has `serving_default` alone."""
    monkeypatch.setattr(openvino, "_signatures", lambda chosen: ["serving_default"])
    with pytest.raises(UserError) as error:
        openvino.write(chosen, str(tmp_path / "a"), "topics", str(tmp_path), False)
    message = str(error.value)
    assert "\n" not in message
    assert "which has no counterpart for " in message
    assert "HashTableV2" in message
    assert message.endswith("of its signature serving_default. Pack it with --format wheel.")
    assert list((tmp_path / "a").iterdir()) == []
