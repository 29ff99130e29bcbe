"""The answers of a SavedModel of texts, here and in a process that has TensorFlow alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.exporter import ExporterParams, run
from pipeline.store.layout import artifact_digest
from seqline.data.features import SPLITS, TEST
from seqline.model import network
from tests.support.exports import LABELS, example, padded, read_ids, read_rows

# A process with TensorFlow and nothing else: the import system finds none of the other packages.
SERVE = """
import json, sys
absent = {"components", "pipeline", "seqline", "serving", "keras", "tf_keras"}
absent |= {"tensorflow_transform", "tfx_bsl", "apache_beam", "tensorflow_text"}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            return None
        return self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
import numpy as np
import tensorflow as tf
path, texts, examples, answers = sys.argv[1:]
model = tf.saved_model.load(path)
def rows(file):
    return tf.constant([bytes.fromhex(row) for row in json.load(open(file))])
def describe(specs):
    return {key: [spec.dtype.name, list(spec.shape)] for key, spec in sorted(specs.items())}
given = {"text": rows(texts), "ids": tf.constant([[1, 2, 3], [4, 0, 0]], tf.int64)}
described, outputs = {}, {}
for name, signature in model.signatures.items():
    inputs = signature.structured_input_signature[1]
    described[name] = [describe(inputs), describe(signature.structured_outputs)]
    [argument] = inputs
    values = given.get(argument, rows(examples))
    for key, value in signature(**{argument: values}).items():
        array = value.numpy()
        outputs[f"{name}.{key}"] = array.astype("S") if array.dtype == object else array
modules = sorted({name.partition(".")[0] for name in sys.modules} & absent)
outputs["modules"] = np.array(modules, dtype=str)
np.savez(answers, **outputs)
print(json.dumps(described))
"""


@pytest.fixture(scope="module")
def elsewhere(
    examples: Path,
    features: Path,
    model: Path,
    saved_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, list], dict[str, np.ndarray]]:
    """The signatures of a SavedModel that was moved, and their answers in another process."""
    work = tmp_path_factory.mktemp("elsewhere")
    (work / "first").mkdir()
    run(
        examples=examples,
        features=features,
        model=model,
        params=ExporterParams(),
        output=work / "first",
    )

    # This is the second export of this process.
    assert artifact_digest(work / "first") == artifact_digest(saved_model)

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
    answers = elsewhere[1]
    np.testing.assert_array_equal(
        answers["transform_features.ids"], padded(rows, answers["transform_features.ids"].shape[1])
    )
    assert answers["transform_features.length"].tolist() == [length for _, length, _ in rows]
    assert answers["transform_features.label"].tolist() == [label for _, _, label in rows]


def test_raw_text_gives_the_probabilities_of_the_trained_network(
    elsewhere: tuple[dict[str, list], dict[str, np.ndarray]], features: Path, model: Path
) -> None:
    trained, _ = network.load(model, training=True)
    rows = [row for split in SPLITS for row in read_ids(features, split)]
    expected = np.asarray(trained(padded(rows, 8), training=False))
    answers = elsewhere[1]
    np.testing.assert_allclose(answers["serving_default.probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(
        answers["serving_default.class_id"], answers["serving_default.probabilities"].argmax(axis=1)
    )
    assert answers["serving_default.label"].tolist() == [
        LABELS[class_id] for class_id in answers["serving_default.class_id"]
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
    answers = elsewhere[1]
    probabilities = answers["serving_default.probabilities"]
    for name in ("label", "class_id"):
        np.testing.assert_array_equal(
            answers[f"serving_fast.{name}"], answers[f"serving_default.{name}"]
        )
    np.testing.assert_allclose(answers["serving_fast.probabilities"], probabilities, atol=1e-6)

    # All texts are ASCII.
    np.testing.assert_allclose(answers["serving_ascii.probabilities"], probabilities, atol=1e-6)
    np.testing.assert_array_equal(answers["classify.scores"], probabilities)
    assert (answers["classify.classes"] == LABELS).all()

    order = np.argsort(-probabilities, axis=1)
    np.testing.assert_array_equal(answers["serving_top_k.top_labels"], np.array(LABELS)[order])
    np.testing.assert_array_equal(
        answers["serving_top_k.top_probabilities"], np.take_along_axis(probabilities, order, axis=1)
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
    answer = serve.model.signatures["serving_ascii"](text=tf.constant(texts))
    expected = serve(text=tf.constant(texts))
    read = [0, 2, 5]
    np.testing.assert_allclose(
        answer["probabilities"].numpy()[read], expected["probabilities"].numpy()[read], atol=1e-6
    )
    assert np.isnan(answer["probabilities"].numpy()[[1, 3, 4]]).all()
    assert answer["class_id"].numpy()[[1, 3, 4]].tolist() == [-1, -1, -1]


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

    transformed = transform(examples=tf.constant(rows))
    assert transformed["label"].numpy().tolist() == [-1, 1, -1, 0]
    assert transformed["length"].numpy().tolist() == [1, 0, 1, 1]
    assert transformed["ids"].shape == (4, 1)
    assert transformed["ids"].numpy()[1].tolist() == [0]

    nothing = transform(examples=tf.constant([], tf.string))
    assert [nothing[name].shape[0] for name in ("ids", "length", "label")] == [0, 0, 0]
