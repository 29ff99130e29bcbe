"""What TensorBoard shows of a Model beside its curves."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from components.trainer import board, fit
from seqline.model import network
from tests.support.corpus import TRAINER_PARAMS
from tests.support.event_files import read, scalars, settings


def projector(folder: Path) -> tuple[np.ndarray, list[str]]:
    """The embeddings and the lines of their metadata, by the paths in the configuration."""
    config = ProjectorConfig()
    text_format.Parse((folder / "projector_config.pbtxt").read_text(), config)
    (embedding,) = config.embeddings
    rows = np.fromfile(folder / embedding.tensor_path, "<f4").reshape(embedding.tensor_shape)
    lines = (folder / embedding.metadata_path).read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    return rows, lines


def test_settings_and_scores_are_a_row_of_the_hparams_table(model: Path) -> None:
    shown = settings(model / "tensorboard")
    assert shown["rnn_units"] == 8
    assert shown["learning_rate"] == TRAINER_PARAMS.learning_rate
    assert shown["wide"] is False
    assert shown["pooling"] == "max"
    assert (shown["num_tokens"], shown["num_classes"], shown["max_length"]) == (199, 3, 8)

    history = json.loads((model / "history.json").read_text())
    best = max(zip(history["val_accuracy"], (-loss for loss in history["val_loss"]), strict=True))
    assert scalars(model / "tensorboard") == {
        "accuracy/final_eval": [(0, pytest.approx(best[0]))],
        "loss/final_eval": [(0, pytest.approx(-best[1]))],
    }


def test_the_graph_is_that_of_the_network(model: Path) -> None:
    names = {node.name for node in read(model / "tensorboard" / "train").Graph().node}
    assert "ids" in names
    assert any(re.match(r"seqline(_\d+)?/output", name) for name in names)


def test_embeddings_have_their_tokens(model: Path) -> None:
    loaded, _ = network.load(model)
    rows = loaded.get_layer("embedding").get_weights()[0]
    tokens = (model / "vocabularies" / "tokens").read_text(encoding="utf-8").splitlines()

    shown, lines = projector(model / "tensorboard" / "train")
    np.testing.assert_array_equal(shown, rows[1:])  # without the padding
    assert lines[:2] == ["token\tid", f"{tokens[0]}\t1"]
    assert lines[-2:] == [f"{tokens[-1]}\t{len(tokens)}", f"[OOV]\t{len(tokens) + 1}"]
    assert len(lines) == len(shown) + 1


def test_the_most_frequent_tokens_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "MAX_TOKENS", 3)
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    board.write_projector(rows, ["a", "b\t\u2028", "c", "d", "e"], tmp_path / "new")
    shown, lines = projector(tmp_path / "new")
    assert shown.tolist() == [[2, 3], [4, 5], [12, 13]]
    assert lines == ["token\tid", "a\t1", "b\\t\\u2028\t2", "[OOV]\t6"]


def test_a_trial_has_curves_alone(features: Path, tmp_path: Path) -> None:
    params = TRAINER_PARAMS.with_values({"num_epochs": 1})
    fit.fit(features, params, tmp_path / "model", tmp_path / "work", is_trial=True)
    files = [path for path in (tmp_path / "model" / "tensorboard").rglob("*") if path.is_file()]
    assert sorted(path.parent.name for path in files) == ["eval", "train"]
