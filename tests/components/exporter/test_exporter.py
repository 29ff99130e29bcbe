import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from components.example_gen import bbc_news
from components.exporter import EXPORTER, ExporterParams, run
from components.trainer import TrainerParams
from components.trainer import run as run_trainer
from components.transform import TransformParams
from components.transform import run as run_transform
from pipeline.store.layout import artifact_digest
from seqline.component import Figures
from seqline.data.examples import raw_features
from seqline.data.features import SPLITS, TEST, shards
from seqline.model import network
from serving.predict import predict
from tests.conftest import write_examples
from tests.support import CHECKOUT

LABELS = [b"animals", b"fruit", b"metals"]

# What a machine does that has TensorFlow and nothing else: the import system finds none of the
# others.
SERVE = """
import json, sys
absent = {"components", "pipeline", "seqline", "serving", "tensorflow_transform", "tfx_bsl", "tf_keras", "keras", "apache_beam", "tensorflow_text"}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
import numpy as np
import tensorflow as tf
path, texts, examples, answers = sys.argv[1:]
model = tf.saved_model.load(path)
texts, examples = ([bytes.fromhex(each) for each in json.load(open(file))] for file in (texts, examples))
described, found = {}, {}
for name, signature in model.signatures.items():
    describe = lambda specs: {key: [spec.dtype.name, list(spec.shape)] for key, spec in sorted(specs.items())}
    described[name] = [describe(signature.structured_input_signature[1]), describe(signature.structured_outputs)]
    [argument] = signature.structured_input_signature[1]
    given = {"text": tf.constant(texts), "ids": tf.constant([[1, 2, 3], [4, 0, 0]], tf.int64)}.get(argument, tf.constant(examples))
    for key, value in signature(**{argument: given}).items():
        array = value.numpy()
        found[f"{name}.{key}"] = array.astype("S") if array.dtype == object else array
found["modules"] = np.array(sorted({name.partition(".")[0] for name in sys.modules} & absent), dtype=str)
np.savez(answers, **found)
print(json.dumps(described))
"""


def example(text: bytes, label: bytes | None = None) -> bytes:
    made = tf.train.Example()
    made.features.feature["text"].bytes_list.value.append(text)
    if label is not None:
        made.features.feature["label"].bytes_list.value.append(label)
    return made.SerializeToString(deterministic=True)


def read_rows(examples: Path, split: str) -> list[tuple[bytes, bytes, bytes]]:
    """(serialized, text, label) of every row, in order."""
    rows = []
    for path in shards(examples, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            row = tf.io.parse_single_example(serialized, raw_features("text"))
            rows.append((serialized.numpy(), row["text"].numpy(), row["label"].numpy()))
    return rows


def read_ids(features: Path, split: str) -> list[tuple[list[int], int, int]]:
    """(ids, length, label) of every row, in order."""
    rows = []
    for path in shards(features, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            feature = tf.train.Example.FromString(serialized.numpy()).features.feature
            ids, length, label = (
                list(feature[name].int64_list.value) for name in ("ids", "length", "label")
            )
            rows.append((ids, length[0], label[0]))
    return rows


def padded(rows: list[tuple[list[int], int, int]], time: int) -> np.ndarray:
    return np.array([ids + [0] * (time - len(ids)) for ids, _, _ in rows], np.int64)


@pytest.fixture(scope="module")
def serve(saved_model: Path) -> tf.types.experimental.GenericFunction:
    loaded = tf.saved_model.load(str(saved_model / "saved_model"))
    signature = loaded.signatures["serving_default"]
    signature.model = loaded  # the signature alone does not keep its tables
    return signature


@pytest.fixture(scope="module")
def elsewhere(
    examples: Path,
    features: Path,
    model: Path,
    saved_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, list], dict[str, np.ndarray]]:
    """What another process says to all rows, from a folder to which the SavedModel was moved.

    Its signatures, its answers.
    """
    work = tmp_path_factory.mktemp("elsewhere")
    (work / "first").mkdir()
    run(
        examples=examples,
        features=features,
        model=model,
        params=ExporterParams(),
        output=work / "first",
    )
    assert artifact_digest(work / "first") == artifact_digest(
        saved_model
    )  # the second export of this process
    shutil.move(work / "first" / "saved_model", work / "moved")
    shutil.rmtree(work / "first")
    rows = [row for split in SPLITS for row in read_rows(examples, split)]
    (work / "texts").write_text(json.dumps([text.hex() for _, text, _ in rows]))
    (work / "examples").write_text(json.dumps([serialized.hex() for serialized, _, _ in rows]))
    (work / "cwd").mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            SERVE,
            *(str(work / name) for name in ("moved", "texts", "examples", "answers.npz")),
        ],
        capture_output=True,
        text=True,
        cwd=work / "cwd",
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(work / "answers.npz") as answers:
        return json.loads(done.stdout), dict(answers)


def test_signatures(elsewhere: tuple[dict[str, list], dict[str, np.ndarray]]) -> None:
    answer = {
        "class_id": ["int64", [None]],
        "label": ["string", [None]],
        "probabilities": ["float32", [None, 3]],
    }
    row = {"ids": ["int64", [None, None]], "label": ["int64", [None]], "length": ["int64", [None]]}
    known = {name: answer[name] for name in ("class_id", "probabilities")}
    assert elsewhere[0] == {
        "serving_default": [{"text": ["string", [None]]}, answer],
        "serving_fast": [{"text": ["string", [None]]}, answer],
        "serving_top_k": [
            {"text": ["string", [None]]},
            {"top_labels": ["string", [None, 3]], "top_probabilities": ["float32", [None, 3]]},
        ],
        "serving_examples": [{"examples": ["string", [None]]}, answer],
        "classify": [
            {"inputs": ["string", [None]]},
            {"classes": ["string", [None, 3]], "scores": ["float32", [None, 3]]},
        ],
        "serving_ids": [{"ids": ["int64", [None, None]]}, known],
        "serving_ascii": [{"text": ["string", [None]]}, known],
        "transform_features": [{"examples": ["string", [None]]}, row],
    }


def test_it_serves_without_seqline_keras_and_tft(
    elsewhere: tuple[dict[str, list], dict[str, np.ndarray]],
) -> None:
    assert elsewhere[1]["modules"].tolist() == []


def test_raw_text_gives_the_ids_that_the_trainer_read(
    elsewhere: tuple[dict[str, list], dict[str, np.ndarray]], features: Path
) -> None:
    rows = [row for split in SPLITS for row in read_ids(features, split)]
    found = elsewhere[1]
    np.testing.assert_array_equal(
        found["transform_features.ids"], padded(rows, found["transform_features.ids"].shape[1])
    )
    assert found["transform_features.length"].tolist() == [length for _, length, _ in rows]
    assert found["transform_features.label"].tolist() == [label for _, _, label in rows]


def test_raw_text_gives_the_probabilities_of_the_trained_network(
    elsewhere: tuple[dict[str, list], dict[str, np.ndarray]], features: Path, model: Path
) -> None:
    trained, _ = network.load(model, training=True)
    rows = [row for split in SPLITS for row in read_ids(features, split)]
    expected = np.asarray(trained(padded(rows, 8), training=False))
    found = elsewhere[1]
    np.testing.assert_allclose(found["serving_default.probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(
        found["serving_default.class_id"], found["serving_default.probabilities"].argmax(axis=1)
    )
    assert found["serving_default.label"].tolist() == [
        LABELS[each] for each in found["serving_default.class_id"]
    ]


def test_examples_give_the_same_as_text(
    elsewhere: tuple[dict[str, list], dict[str, np.ndarray]],
) -> None:
    for name in ("probabilities", "label", "class_id"):
        np.testing.assert_array_equal(
            elsewhere[1][f"serving_examples.{name}"], elsewhere[1][f"serving_default.{name}"]
        )


def test_the_other_signatures_say_the_same(
    elsewhere: tuple[dict[str, list], dict[str, np.ndarray]],
) -> None:
    found = elsewhere[1]
    probabilities = found["serving_default.probabilities"]
    for name in ("label", "class_id"):
        np.testing.assert_array_equal(
            found[f"serving_fast.{name}"], found[f"serving_default.{name}"]
        )
    np.testing.assert_allclose(found["serving_fast.probabilities"], probabilities, atol=1e-6)
    np.testing.assert_allclose(
        found["serving_ascii.probabilities"], probabilities, atol=1e-6
    )  # they all are ASCII
    np.testing.assert_array_equal(found["classify.scores"], probabilities)
    assert (found["classify.classes"] == LABELS).all()
    order = np.argsort(-probabilities, axis=1)
    np.testing.assert_array_equal(found["serving_top_k.top_labels"], np.array(LABELS)[order])
    np.testing.assert_array_equal(
        found["serving_top_k.top_probabilities"], np.take_along_axis(probabilities, order, axis=1)
    )


def test_ids_are_read_as_the_network_reads_them(
    elsewhere: tuple[dict[str, list], dict[str, np.ndarray]], model: Path
) -> None:
    trained, _ = network.load(model)
    expected = np.asarray(trained(np.array([[1, 2, 3], [4, 0, 0]])))
    np.testing.assert_allclose(elsewhere[1]["serving_ids.probabilities"], expected, atol=1e-6)


def test_what_is_not_ascii_gets_no_answer_from_serving_ascii(
    serve: tf.types.experimental.GenericFunction,
) -> None:
    texts = ["the cat,\tThe\nDOG!", "caf\u00e9", "", b"\xff", b"\x00", "  gold  "]
    found = serve.model.signatures["serving_ascii"](text=tf.constant(texts))
    expected = serve(text=tf.constant(texts))
    read = [0, 2, 5]
    np.testing.assert_allclose(
        found["probabilities"].numpy()[read], expected["probabilities"].numpy()[read], atol=1e-6
    )
    assert np.isnan(found["probabilities"].numpy()[[1, 3, 4]]).all()
    assert found["class_id"].numpy()[[1, 3, 4]].tolist() == [-1, -1, -1]


def test_the_model_card(saved_model: Path, examples: Path, features: Path, model: Path) -> None:
    card = json.loads((saved_model / "saved_model" / "assets.extra" / "model.json").read_text())
    assert card["labels"] == [label.decode() for label in LABELS]
    assert card["keys"] == {
        "examples": examples.name,
        "features": features.name,
        "model": model.name,
    }
    assert (
        card["sha256"]["vocabularies/tokens"]
        == sha256((features / "vocabularies" / "tokens").read_bytes()).hexdigest()
    )
    assert card["network"] == json.loads((model / "network.json").read_text())
    history = json.loads((model / "history.json").read_text())
    assert card["training"]["val_accuracy"] == max(history["val_accuracy"])
    assert set(card["signatures"]["summaries"]) >= set(
        tf.saved_model.load(str(saved_model / "saved_model")).signatures
    )


def test_the_proto_documents_the_signatures_and_names_the_classify_api(saved_model: Path) -> None:
    found = saved_model_pb2.SavedModel.FromString(
        (saved_model / "saved_model" / "saved_model.pb").read_bytes()
    ).meta_graphs[0]
    methods = {
        name: signature.method_name
        for name, signature in found.signature_def.items()
        if not name.startswith("__")
    }
    assert methods.pop("classify") == "tensorflow/serving/classify"
    assert set(methods.values()) == {"tensorflow/serving/predict"}
    functions = [function.signature for function in found.graph_def.library.function]
    documented = {function.summary: function for function in functions if function.summary}
    assert len(documented) == 8
    default = documented["Probabilities, likeliest label and its number for raw rows."]
    assert default.input_arg[0].description.startswith("string [batch]: texts")
    assert [argument.description.split(":")[0] for argument in default.output_arg] == [
        "int64 [batch]",
        "string [batch]",
        "float32 [batch, num_classes]",
    ]


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
        "serving_default": [1, 1, 1, 4, 16, 55],
        "serving_examples": [1, 1, 1, 4, 16, 55],
    }


def test_a_row_does_not_depend_on_its_batch(
    serve: tf.types.experimental.GenericFunction, examples: Path
) -> None:
    texts = [text for _, text, _ in read_rows(examples, TEST)]
    together = serve(text=tf.constant(texts))["probabilities"].numpy()
    alone = [serve(text=tf.constant([text]))["probabilities"].numpy()[0] for text in texts]
    np.testing.assert_allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize(
    "texts",
    [
        [b""],
        [b"cat " * 250_000],
        [b"\xff\xfe cat \x80"],
        [b"\x00"],
        [],
        ["E\u0301".encode(), b"", b"a\x00b"],
        [b"the cat and the dog"] * 5000,
    ],
    ids=["empty", "1 MB", "not UTF-8", "NUL", "no row", "mixed", "5,000 rows"],
)
def test_any_text_gets_an_answer(
    serve: tf.types.experimental.GenericFunction, texts: list[bytes]
) -> None:
    answer = serve(text=tf.constant(texts, tf.string))
    probabilities = answer["probabilities"].numpy()
    assert probabilities.shape == (len(texts), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(len(texts)), atol=1e-6)
    assert set(answer["label"].numpy()) <= set(LABELS)
    assert answer["class_id"].shape == (len(texts),)


def test_a_long_text_is_read_up_to_max_length(serve: tf.types.experimental.GenericFunction) -> None:
    short, long = (
        serve(text=tf.constant([b"cat " * number]))["probabilities"].numpy()
        for number in (8, 250_000)
    )
    np.testing.assert_array_equal(short, long)


def test_labels_of_examples_are_optional_and_unknown_ones_are_minus_1(
    serve: tf.types.experimental.GenericFunction,
) -> None:
    transform = serve.model.signatures["transform_features"]
    rows = [
        example(b"cat"),
        example(b"", b"fruit"),
        example(b"dog", b"vegetables"),
        example(b"dog", b"animals"),
    ]
    found = transform(examples=tf.constant(rows))
    assert found["label"].numpy().tolist() == [-1, 1, -1, 0]
    assert found["length"].numpy().tolist() == [1, 0, 1, 1]
    assert found["ids"].shape == (4, 1)
    assert found["ids"].numpy()[1].tolist() == [0]
    nothing = transform(examples=tf.constant([], tf.string))
    assert [nothing[name].shape[0] for name in ("ids", "length", "label")] == [0, 0, 0]


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
    """A table of projected tokens, one of logits with a row for each token and bigram, and what is
    left.
    """
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
    found = saved_model_pb2.SavedModel.FromString(
        (saved_model / "saved_model" / "saved_model.pb").read_bytes()
    )
    graph = found.meta_graphs[0].graph_def
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
    found = figures["exporter"]
    measured = {name: found[name] for name in ("max_difference", "difference", "noise")}
    assert found == {
        "num_bytes": size,
        "table_dtype": "float32",
        "num_rows": 55,
        "tolerance": 5e-5,
        **measured,
    }
    assert 0 <= found["max_difference"] <= found["difference"] / 4 + 1e-7
    assert found["difference"] <= 1e-6
    assert 0 < found["noise"] < 1e-6
    card = json.loads((saved_model / "saved_model" / "assets.extra" / "model.json").read_text())
    assert card["parity"] == {"tolerance": 5e-5}
    described = EXPORTER.describe({**found, "max_difference": 6e-8})
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
        found = loaded.signatures["serving_default"](text=tf.constant(texts[:number]))[
            "probabilities"
        ].numpy()
        np.testing.assert_allclose(found, expected[:number], atol=1e-6)
    assert loaded.signatures["transform_features"](examples=tf.constant([example(b"cat")]))[
        "ids"
    ].shape == (1, 8)
    assert loaded.signatures["serving_default"](text=tf.constant([], tf.string))[
        "probabilities"
    ].shape == (0, 3)


WORDS = ["cat", "dog", "Dog", "a cat", "\u00e9"]
TOKEN_ROWS = [
    ([WORDS[(number * step + step) % 5] for step in range(number % 6)] + ["end"], "ab"[number % 2])
    for number in range(24)
]
SEQUENCE_ROWS = [
    ([[number - 12, step**2, 0.1] for step in range(number % 6 + 1)], "ab"[number % 2])
    for number in range(24)
]
SMALL = {"embedding_dim": 4, "rnn_units": 4, "skip_dim": 4, "batch_size": 16, "num_epochs": 1}


@pytest.fixture(scope="module", params=["tokens", "sequence", "sequence, padding read"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A SavedModel of pre-tokenised rows or of sequences of three numbers a time step, both of at
    most five: everything that it was made of.
    """
    work = tmp_path_factory.mktemp("served")
    content, plain = request.param.split(",")[0], "padding" in request.param
    rows = TOKEN_ROWS if content == "tokens" else SEQUENCE_ROWS
    for name in ("features", "model", "saved_model"):
        (work / name).mkdir()
    examples = write_examples(
        work / "examples", {"train": rows[:16], "eval": rows[16:20], "test": rows[20:]}, content
    )
    run_transform(
        examples=examples,
        params=TransformParams(min_frequency=1, max_length=5),
        output=work / "features",
    )
    params = TrainerParams(**SMALL, pooling="last" if plain else "max", min_epoch_steps=4)
    run_trainer(features=work / "features", params=params, output=work / "model")
    run(
        examples=examples,
        features=work / "features",
        model=work / "model",
        params=ExporterParams(),
        output=work / "saved_model",
    )
    loaded = tf.saved_model.load(str(work / "saved_model" / "saved_model"))
    requests = [row for row, _ in rows]
    serialized = [read_serialized(examples, split) for split in SPLITS]
    # One shard a split: the rows are in order.
    return {
        "content": content,
        "time": 5 if plain else None,
        "rows": requests,
        "examples": tf.constant([row for split in serialized for row in split]),
        "features": work / "features",
        "network": network.load(work / "model", training=True)[0],
        "loaded": loaded,
        "path": work / "saved_model" / "saved_model",
    }


def read_serialized(root: Path, split: str) -> list[bytes]:
    paths = [str(path) for path in shards(root, split)]
    return [
        serialized.numpy() for serialized in tf.data.TFRecordDataset(paths, compression_type="GZIP")
    ]


def ask(served: dict[str, Any], rows: list, time: int = 6) -> dict[str, np.ndarray]:
    """serving_default's answers to rows padded to `time`."""
    if served["content"] == "tokens":
        request = {
            "tokens": tf.constant(
                [row + [""] * (time - len(row)) for row in rows], tf.string, shape=(len(rows), time)
            )
        }
    else:
        # What is behind a row must not count: here it is anything but zeros.
        padded = [row + [[7, 7, 7]] * (time - len(row)) for row in rows]
        request = {"sequence": tf.constant(padded, tf.float32, shape=(len(rows), time, 3))}
        request["length"] = tf.constant([len(row) for row in rows], tf.int64)
    return {
        name: value.numpy()
        for name, value in served["loaded"].signatures["serving_default"](**request).items()
    }


def read_features(served: dict[str, Any]) -> list[tuple[list, int, int]]:
    """(ids or values, length, label) of every row, in order."""
    rows = []
    for split in SPLITS:
        for serialized in read_serialized(served["features"], split):
            feature = tf.train.Example.FromString(serialized).features.feature
            content = feature["ids"].int64_list.value or np.reshape(
                feature["values"].float_list.value, (-1, 3)
            )
            rows.append(
                (
                    list(content),
                    feature["length"].int64_list.value[0],
                    feature["label"].int64_list.value[0],
                )
            )
    return rows


def dense(served: dict[str, Any], time: int) -> tuple[np.ndarray, np.ndarray]:
    """(the Features' ids or values padded to `time`, the lengths)."""
    rows = read_features(served)
    shape, dtype = ((time,), np.int64) if served["content"] == "tokens" else ((time, 3), np.float32)
    padded = np.zeros((len(rows), *shape), dtype)
    for row, (content, length, _) in zip(padded, rows, strict=True):
        row[:length] = content
    return padded, np.array([length for _, length, _ in rows])


def test_signatures_of_tokens_and_sequences(served: dict[str, Any]) -> None:
    def describe(specs: dict[str, tf.TensorSpec]) -> dict[str, list]:
        return {name: [spec.dtype.name, list(spec.shape)] for name, spec in specs.items()}

    signatures, time = served["loaded"].signatures, served["time"]
    by_content = {
        "tokens": ({"tokens": ["string", [None, None]]}, {"ids": ["int64", [None, time]]}),
        "sequence": (
            {"sequence": ["float32", [None, None, 3]], "length": ["int64", [None]]},
            {"values": ["float32", [None, time, 3]]},
        ),
    }
    default, row = by_content[served["content"]]
    answer = {
        "class_id": ["int64", [None]],
        "label": ["string", [None]],
        "probabilities": ["float32", [None, 2]],
    }
    assert describe(signatures["serving_default"].structured_input_signature[1]) == default
    for name in ("serving_examples", "transform_features"):
        assert describe(signatures[name].structured_input_signature[1]) == {
            "examples": ["string", [None]]
        }
    assert ("serving_ids" in signatures) == (served["content"] == "tokens")
    assert "serving_ascii" not in signatures
    for name in ("serving_default", "serving_examples", "serving_fast"):
        assert describe(signatures[name].structured_outputs) == answer
    lengths = {"length": ["int64", [None]], "label": ["int64", [None]]}
    assert describe(signatures["transform_features"].structured_outputs) == {**row, **lengths}
    assets = {path.name for path in (served["path"] / "assets").iterdir()}
    assert assets == ({"tokens", "labels"} if served["content"] == "tokens" else {"labels"})


def test_rows_give_the_features_that_the_trainer_read(served: dict[str, Any]) -> None:
    found = served["loaded"].signatures["transform_features"](examples=served["examples"])
    expected, length = dense(served, 5)
    np.testing.assert_array_equal(
        found["ids" if served["content"] == "tokens" else "values"].numpy(), expected
    )
    assert found["length"].numpy().tolist() == length.tolist()
    assert found["label"].numpy().tolist() == [label for _, _, label in read_features(served)]


def test_rows_give_the_probabilities_of_the_trained_network(served: dict[str, Any]) -> None:
    padded, length = dense(served, 5)
    expected = np.asarray(
        served["network"](
            padded if served["content"] == "tokens" else (padded, length), training=False
        )
    )
    answer = ask(served, served["rows"])
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(answer["class_id"], answer["probabilities"].argmax(axis=1))
    assert answer["label"].tolist() == [[b"a", b"b"][each] for each in answer["class_id"]]
    by_examples = served["loaded"].signatures["serving_examples"](examples=served["examples"])
    for name, value in answer.items():
        np.testing.assert_array_equal(by_examples[name].numpy(), value)


def test_predict_asks_for_tokens_and_sequences(served: dict[str, Any]) -> None:
    answers = list(predict(served["path"], map(json.dumps, served["rows"])))
    expected = ask(served, served["rows"])
    for answer, row, label, probabilities in zip(
        answers, served["rows"], expected["label"], expected["probabilities"], strict=True
    ):
        assert answer[served["content"]] == row
        assert answer["label"] == label.decode()
        assert [answer["probabilities"][name] for name in "ab"] == pytest.approx(
            probabilities.tolist(), abs=2e-6
        )


def test_padding_and_other_rows_do_not_matter(served: dict[str, Any]) -> None:
    together = ask(served, served["rows"])["probabilities"]
    np.testing.assert_allclose(
        ask(served, served["rows"], time=30)["probabilities"], together, atol=1e-6
    )
    for row, expected in zip(served["rows"][:8], together, strict=False):
        np.testing.assert_allclose(
            ask(served, [row], len(row))["probabilities"][0], expected, atol=1e-6
        )


def test_a_row_is_read_up_to_max_length(served: dict[str, Any]) -> None:
    row = (served["rows"][3] * 5)[:12]
    np.testing.assert_array_equal(
        ask(served, [row], 12)["probabilities"], ask(served, [row[:5]], 12)["probabilities"]
    )


@pytest.mark.parametrize(
    ("rows", "time"), [([[]], 0), ([[]], 3), ([], 0), ([], 3), ([[], None], 6)]
)
def test_rows_of_nothing_and_no_rows_get_an_answer(
    served: dict[str, Any], rows: list, time: int
) -> None:
    given = [served["rows"][4] if row is None else row for row in rows]
    probabilities = ask(served, given, time)["probabilities"]
    assert probabilities.shape == (len(rows), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(len(rows)), atol=1e-6)
    found = served["loaded"].signatures["serving_examples"](examples=tf.constant([], tf.string))[
        "probabilities"
    ]
    assert found.shape == (0, 2)


@pytest.mark.parametrize("served", ["sequence"], indirect=True)
@pytest.mark.parametrize(
    ("length", "message"),
    [
        ([4, 2], "greater than the time"),
        ([-1, 2], "negative"),
        ([1], "one entry for each row"),
        ([1, 1, 1], "one entry for each row"),
    ],
)
def test_a_length_that_cannot_be_is_an_error(
    served: dict[str, Any], length: list[int], message: str
) -> None:
    serve = served["loaded"].signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(sequence=tf.zeros([2, 3, 3]), length=tf.constant(length, tf.int64))


@pytest.mark.parametrize("served", ["sequence"], indirect=True)
def test_an_example_with_a_part_of_a_time_step_is_an_error(served: dict[str, Any]) -> None:
    made = tf.train.Example()
    made.features.feature["sequence"].float_list.value.extend([1, 2, 3, 4])
    for name in ("serving_examples", "transform_features"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="no multiple of 3 numbers"):
            served["loaded"].signatures[name](examples=tf.constant([made.SerializeToString()]))


@pytest.mark.slow
def test_the_model_of_the_tutorials_is_exported_from_the_sample(tmp_path: Path) -> None:
    """Its recurrence keeps what rounding adds over 200 steps, which a constant of 1e-6 of a
    probability refused.
    """
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
