"""An export that does not answer as it was trained is refused, with the row."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from components import network
from components.base import UserError
from components.exporter import ExporterParams, export, parity, run

PARAMS = ExporterParams()


@pytest.fixture
def exported(saved_model: Path, tmp_path: Path) -> Path:
    """A finished export, to be damaged."""
    return Path(shutil.copytree(saved_model / "saved_model", tmp_path / "saved_model"))


def prove(exported: Path, examples: Path, features: Path, model: Path) -> None:
    with parity.Prover() as prover:
        prover.prove(exported, parity.choose(examples, features, PARAMS), model, PARAMS)


def test_a_changed_line_of_the_vocabulary(exported: Path, examples: Path, features: Path, model: Path) -> None:
    path = exported / "assets" / "tokens"
    lines = path.read_text().split("\n")
    place = lines.index("apple")
    lines[place] = "appel"
    path.write_text("\n".join(lines))
    with pytest.raises(
        parity.ParityError, match=r"Parity fails at Split-\w+/data_tfrecord-[\d-]+\.gz, row \d+ \('The .*apple.*the export reads ids"
    ):
        prove(exported, examples, features, model)


def test_a_changed_normalisation(exported: Path, examples: Path, features: Path, model: Path) -> None:
    path = exported / "saved_model.pb"
    found = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    changed = 0
    for function in found.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            # What makes punctuation tokens of their own leaves the comma where it is.
            if node.op == "StaticRegexReplace" and node.attr["pattern"].s == rb"([^\p{L}\p{M}\p{N} ])":
                node.attr["pattern"].s = rb"([^\p{L}\p{M}\p{N} ,])"
                changed += 1
    assert changed
    path.write_bytes(found.SerializeToString(deterministic=True))
    with pytest.raises(parity.ParityError, match=r"row 1 \('The .*: the export reads ids \[.*; the Features hold \["):
        prove(exported, examples, features, model)


def test_weights_that_are_off_by_a_thousandth(examples: Path, features: Path, model: Path, tmp_path: Path) -> None:
    trained, spec = network.load(model, training=True)
    output = trained.get_layer("output")
    kernel, bias = output.get_weights()
    output.set_weights([kernel, bias + np.array([1e-3, 0, 0], np.float32)])
    (tmp_path / "other").mkdir()
    network.save(trained, spec, tmp_path / "other")
    rows = parity.choose(examples, features, PARAMS)
    export.write(examples, features, tmp_path / "other", PARAMS, tmp_path / "saved_model", rows)
    with pytest.raises(
        parity.ParityError, match=r"row 1 \('The .*: serving_default of the export gives probabilities .* apart, more than 1e-06"
    ) as error:
        prove(tmp_path / "saved_model", examples, features, model)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, UserError)
    keras.backend.clear_session()


def test_a_file_that_tensorflow_cannot_read(exported: Path, examples: Path, features: Path, model: Path) -> None:
    (exported / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(parity.ParityError, match="A plain TensorFlow process cannot serve the export"):
        prove(exported, examples, features, model)


def test_the_longest_row_is_among_those_compared(examples: Path, features: Path) -> None:
    few = ExporterParams(parity_rows=3)
    rows = parity.choose(examples, features, few)
    everything = parity.choose(examples, features, PARAMS)
    splits = [split for split, _, _ in rows.places]
    assert splits == ["eval"] * 4 + ["train"] * 16 + ["test"] * 16
    assert [place for _, _, place in rows.places[:3]] == [1, 2, 3]
    of_eval = [example for (split, _, _), example in zip(everything.places, everything.examples, strict=True) if split == "eval"]
    assert len(rows.examples[3]) == max(map(len, of_eval)) > max(map(len, rows.examples[:3]))


def test_narrow_tables_say_what_they_cost(examples: Path, features: Path, model: Path, tmp_path: Path) -> None:
    figures = run(examples=examples, features=features, model=model, params=ExporterParams(table_dtype="int8", top_k=2), output=tmp_path)
    assert figures["table_dtype"] == "int8"
    assert figures["num_measured"] == 23
    assert figures["accuracy_float32"] == 1.0
    assert -0.1 <= figures["accuracy_change"] <= 0
    assert 1e-5 < figures["max_difference"] < 0.1
