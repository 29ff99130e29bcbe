"""The files of an export, its figures, and networks that are hard to export."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from components.example_gen import bbc_news
from components.exporter import EXPORTER, ExporterParams, run
from components.trainer import TrainerParams
from components.trainer import run as run_trainer
from components.transform import TransformParams
from components.transform import run as run_transform
from seqline.component import Figures
from seqline.data.features import TEST
from seqline.model import network
from tests.support import CHECKOUT
from tests.support.corpus import write_examples
from tests.support.exports import example, padded, read_ids, read_rows


def test_no_path_of_this_machine_is_in_the_saved_model(
    saved_model: Path, features: Path, model: Path
) -> None:
    content = (saved_model / "saved_model" / "saved_model.pb").read_bytes()
    for path in (saved_model, features, model, CHECKOUT, Path(sys.prefix)):
        assert str(path).encode() not in content
    assert b"/tmp/" not in content


def test_the_assets_are_the_vocabularies(saved_model: Path, features: Path) -> None:
    assets = {
        path.name: path.read_bytes() for path in (saved_model / "saved_model" / "assets").iterdir()
    }
    for name in ("tokens", "labels"):
        assert assets[name] == (features / "vocabularies" / name).read_bytes()


def test_the_weights_are_there_once_and_nothing_of_training(saved_model: Path, model: Path) -> None:
    """A table of projected tokens, a table of logits for tokens and bigrams, and the rest."""
    _, spec = network.load(model)
    path = saved_model / "saved_model" / "variables" / "variables"
    variables = {
        name: shape
        for name, shape in tf.train.list_variables(str(path))
        if name.endswith(".ATTRIBUTES/VARIABLE_VALUE")
    }

    num_rows, units = spec.num_tokens + 2, spec.rnn_units
    shapes = [
        [num_rows, units],
        [num_rows + spec.num_bigrams, 3],
        [units, units],
        [units, 3],
        [3],
        [spec.bigram_buckets],
    ]

    assert sorted(variables.values()) == sorted(shapes)
    size = sum(4 * int(np.prod(shape)) for shape in shapes)
    assert (
        size
        <= (saved_model / "saved_model" / "variables" / "variables.data-00000-of-00001")
        .stat()
        .st_size
        < size + 5000
    )


def test_no_weight_is_a_constant_of_the_graph(saved_model: Path) -> None:
    saved = saved_model_pb2.SavedModel.FromString(
        (saved_model / "saved_model" / "saved_model.pb").read_bytes()
    )
    graph = saved.meta_graphs[0].graph_def
    nodes = [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]
    floats = [
        node.attr["value"].tensor
        for node in nodes
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum
    ]

    assert (
        max(np.prod([dim.size for dim in tensor.tensor_shape.dim], initial=1) for tensor in floats)
        == 1
    )


def test_figures(saved_model: Path, figures: dict[str, Figures]) -> None:
    size = sum(path.stat().st_size for path in saved_model.rglob("*") if path.is_file())
    exported = figures["exporter"]

    measured = {name: exported[name] for name in ("max_difference", "difference", "noise")}
    assert exported == {
        "num_bytes": size,
        "table_dtype": "float32",
        "num_rows": 55,
        "tolerance": 5e-5,
        **measured,
    }
    assert 0 <= exported["max_difference"] <= exported["difference"] / 4 + 1e-7
    assert exported["difference"] <= 1e-6
    assert 0 < exported["noise"] < 1e-6

    card = json.loads((saved_model / "saved_model" / "assets.extra" / "model.json").read_text())
    assert card["parity"] == {"tolerance": 5e-5}
    described = EXPORTER.describe({**exported, "max_difference": 6e-8})
    assert described == f"SavedModel of {size / 1e6:.1f} MB; 55 rows as trained, to 6e-08"


def test_a_network_that_reads_padding_is_served_with_as_much_of_it(
    features: Path, examples: Path, tmp_path: Path
) -> None:
    params = TrainerParams(
        pooling="last", embedding_dim=4, rnn_units=4, batch_size=64, num_epochs=1
    )
    for name in ("model", "saved_model"):
        (tmp_path / name).mkdir()
    run_trainer(features=features, params=params, output=tmp_path / "model")
    run(
        examples=examples,
        features=features,
        model=tmp_path / "model",
        params=ExporterParams(),
        output=tmp_path / "saved_model",
    )

    loaded = tf.saved_model.load(str(tmp_path / "saved_model" / "saved_model"))
    trained, _ = network.load(tmp_path / "model", training=True)
    texts = [text for _, text, _ in read_rows(examples, TEST)]

    expected = np.asarray(trained(padded(read_ids(features, TEST), 8), training=False))
    for number in (1, 2, len(texts)):
        probabilities = loaded.signatures["serving_default"](text=tf.constant(texts[:number]))[
            "probabilities"
        ].numpy()
        np.testing.assert_allclose(probabilities, expected[:number], atol=1e-6)

    assert loaded.signatures["transform_features"](examples=tf.constant([example(b"cat")]))[
        "ids"
    ].shape == (1, 8)
    assert loaded.signatures["serving_default"](text=tf.constant([], tf.string))[
        "probabilities"
    ].shape == (0, 3)


@pytest.mark.slow
def test_the_model_of_the_tutorials_is_exported_from_the_sample(tmp_path: Path) -> None:
    """Its recurrence keeps the rounding of 200 steps, which a constant tolerance would refuse."""
    articles = bbc_news.articles()[::7]
    rows = [
        (path.read_text(encoding="utf-8", errors="replace"), path.parent.name) for path in articles
    ]
    examples = write_examples(
        tmp_path / "examples", {"train": rows[::2], "eval": rows[1::4], "test": rows[3::4]}
    )
    for name in ("features", "model", "saved_model"):
        (tmp_path / name).mkdir()
    run_transform(
        examples=examples, params=TransformParams(max_length=200), output=tmp_path / "features"
    )
    params = TrainerParams(pooling="last", batch_size=16, num_epochs=3)
    run_trainer(features=tmp_path / "features", params=params, output=tmp_path / "model")
    figures = run(
        examples=examples,
        features=tmp_path / "features",
        model=tmp_path / "model",
        params=ExporterParams(),
        output=tmp_path / "saved_model",
    )

    assert (tmp_path / "saved_model" / "saved_model" / "saved_model.pb").is_file()
    assert 1e-7 < figures["noise"] < 2e-5
    assert figures["difference"] <= figures["tolerance"] / 10
