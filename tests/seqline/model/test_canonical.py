import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from seqline.model.canonical import canonicalize


def save(path: Path, vocabulary: Path) -> Path:
    """Saves a model with everything that TensorFlow numbers or names: a table, a branch, a loop."""
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("a\nb\n")
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        default_value=-1,
    )

    module.offset = tf.Variable(10, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = tf.cond(
            tf.size(text) > 1,
            lambda: module.table.lookup(text),
            lambda: module.table.lookup(text) * 2,
        )
        _, ids = tf.while_loop(
            lambda step, _: step < 3, lambda step, ids: (step + 1, ids + module.offset), [0, ids]
        )
        return {"ids": ids}

    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serve": serve})
    return path


def read(path: Path) -> saved_model_pb2.SavedModel:
    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())


def function_numbers(path: Path) -> list[int]:
    names = [
        function.signature.name
        for meta in read(path).meta_graphs
        for function in meta.graph_def.library.function
    ]
    return sorted(
        {int(match[1]) for name in names if (match := re.fullmatch(r"(?s).*_(\d+)", name))}
    )


def content(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    return save(root / "model", root / "first" / "words")


@pytest.fixture(scope="module")
def canonical(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("canonical") / "model"
    shutil.copytree(saved, path)
    canonicalize(path)
    return path


def test_it_answers_the_same(saved: Path, canonical: Path) -> None:
    before, after = (tf.saved_model.load(str(path)) for path in (saved, canonical))
    for texts in (["b", "a", "z"], ["b"], ["z"]):
        expected = before.signatures["serve"](text=tf.constant(texts))["ids"].numpy()
        np.testing.assert_array_equal(
            after.signatures["serve"](text=tf.constant(texts))["ids"].numpy(), expected
        )
    assert after.serve(tf.constant(["b", "a", "z"]))["ids"].numpy().tolist() == [31, 30, 29]


def test_it_is_idempotent(canonical: Path, tmp_path: Path) -> None:
    shutil.copytree(canonical, tmp_path / "again")
    canonicalize(tmp_path / "again")
    assert content(tmp_path / "again") == content(canonical)


def test_functions_are_numbered_from_0(saved: Path, canonical: Path) -> None:
    numbers = function_numbers(canonical)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == len(function_numbers(saved)) > 3


def test_functions_keep_their_order(saved: Path, canonical: Path) -> None:
    def stems(path: Path) -> list[str]:
        names = [
            function.signature.name
            for meta in read(path).meta_graphs
            for function in meta.graph_def.library.function
        ]
        matches = [match for name in names if (match := re.fullmatch(r"(?s)(.*_)(\d+)", name))]
        return [match[1] for match in sorted(matches, key=lambda match: (int(match[2]), match[1]))]

    assert stems(canonical) == stems(saved)


def test_every_function_that_is_called_is_there(canonical: Path) -> None:
    for meta in read(canonical).meta_graphs:
        library = meta.graph_def.library.function
        defined = {function.signature.name for function in library}
        nodes = [
            *meta.graph_def.node,
            *(node for function in library for node in function.node_def),
        ]
        called = {
            value.func.name
            for node in nodes
            for value in node.attr.values()
            if value.HasField("func")
        }

        assert called <= defined
        assert set(meta.object_graph_def.concrete_functions) <= defined


def test_the_counter_and_the_path_of_the_vocabulary_leave_no_trace(
    canonical: Path, tmp_path: Path
) -> None:
    for number in range(3):
        tf.function(lambda value, number=number: value + number).get_concrete_function(
            tf.constant(1)
        )
    other = save(tmp_path / "model", tmp_path / "a" / "longer_12_path" / "words")
    assert (other / "saved_model.pb").read_bytes() != (canonical / "saved_model.pb").read_bytes()
    canonicalize(other)
    assert content(other) == content(canonical)
    assert str(tmp_path).encode() not in (other / "saved_model.pb").read_bytes()


def test_the_fingerprint_goes(saved: Path, canonical: Path) -> None:
    assert (saved / "fingerprint.pb").exists()
    assert not (canonical / "fingerprint.pb").exists()


@pytest.mark.parametrize("kind", ["saved_model", "transform_fn"])
def test_the_artifacts_are_canonical(
    saved_model: Path, features: Path, kind: str, tmp_path: Path
) -> None:
    path = {"saved_model": saved_model / "saved_model", "transform_fn": features / "transform_fn"}[
        kind
    ]
    numbers = function_numbers(path)
    assert numbers == list(range(len(numbers)))
    shutil.copytree(path, tmp_path / "again")
    canonicalize(tmp_path / "again")
    assert content(tmp_path / "again") == content(path)
