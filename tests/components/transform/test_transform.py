"""From rows to vocabularies, ids and an artifact that tensorflow-transform opens."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.transform import TRANSFORM, graph
from pipeline.store.layout import artifact_digest
from seqline.data import tf_example_writer
from seqline.data.examples import write_records
from seqline.data.features import EVAL, SPLITS, TEST, TRAIN, shards
from seqline.data.manifest import read_manifest
from seqline.data.ngrams import folder_of
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError
from tests.support.corpus import write_examples
from tests.support.exports import read_ids
from tests.support.transformed import LABELS, OOV, ROWS, TOKENS, lines, transform


def test_vocabularies_are_ranked_by_count_then_bytes_and_labels_by_bytes(
    small_features: Path,
) -> None:
    assert lines(small_features / "vocabularies" / "tokens") == TOKENS
    assert lines(small_features / "vocabularies" / "labels") == LABELS
    assert sorted(path.name for path in (small_features / "vocabularies").iterdir()) == [
        "labels",
        "tokens",
    ]


def test_ids_count_from_one_and_oov_is_the_last(small_features: Path) -> None:
    assert read_ids(small_features, TRAIN) == [
        ([1, 3, 7, 1, 2, 6], 6, 1),
        ([5, 3, 8], 3, 0),
        ([2, 4], 2, 1),
        ([], 0, 2),
    ]
    assert read_ids(small_features, EVAL) == [([1, OOV, 3], 3, 1)]
    assert read_ids(small_features, TEST) == [([2, 6], 2, 0)]


def test_output_holds_the_promised_files_and_nothing_else(
    small_features: Path, small_examples: Path
) -> None:
    names = [
        "Ngrams-eval",
        "Ngrams-test",
        "Ngrams-train",
        "Split-eval",
        "Split-test",
        "Split-train",
        "ngrams.arrow",
        "transform.json",
        "transform_fn",
        "transformed_metadata",
        "vocabularies",
    ]
    assert sorted(path.name for path in small_features.iterdir()) == names

    for split in SPLITS:
        names = [path.name for path in shards(small_examples, split)]
        assert [path.name for path in (small_features / f"Split-{split}").iterdir()] == names
        of_ngrams = [path.name for path in folder_of(small_features, split).iterdir()]
        assert of_ngrams == [f"{name}.arrow" for name in names]

    assert json.loads((small_features / "transform.json").read_text()) == {
        "tokens": "word",
        "lowercase": True,
        "content": "text",
        "dim": None,
        "num_tokens": 8,
        "num_classes": 3,
        "ngrams": True,
        "num_distinct_tokens": 8,
        "oov_rate": 0.0,
        "num_sequences": 0,
        # The ten n-grams of " cat " and of " dog ", which are in two texts each.
        "num_characters": 20,
        "max_length": 32,
        "max_length_from_data": True,
        "num_rows": {"train": 4, "eval": 1, "test": 1},
        "num_cut": 0,
    }


def test_vocab_size_and_max_length_cut(small_examples: Path, tmp_path: Path) -> None:
    figures = transform(small_examples, tmp_path, vocab_size=2, max_length=3)
    assert lines(tmp_path / "vocabularies" / "tokens") == ["the", "dog"]
    assert read_ids(tmp_path, TRAIN) == [
        ([1, 3, 3], 3, 1),
        ([3, 3, 3], 3, 0),
        ([2, 3], 2, 1),
        ([], 0, 2),
    ]

    assert figures == {
        "content": "text",
        "dim": None,
        "num_tokens": 2,
        "num_classes": 3,
        "num_distinct_tokens": 8,
        "oov_rate": pytest.approx(7 / 11, abs=1e-12),
        "num_sequences": 0,
        "num_characters": 20,
        "max_length": 3,
        "tokens": "word",
        "max_length_from_data": False,
        "num_rows": {"train": 4, "eval": 1, "test": 1},
        "num_cut": 1,
        "num_spans": 1,
        "num_spans_analyzed": 1,
        "num_shards_made": 3,
    }
    assert (
        TRANSFORM.describe(figures)
        == "vocabulary of 2 tokens, 3 classes; 63.6% of train tokens outside it; max_length 3 cuts"
        " 16.7% of rows"
    )


def test_min_frequency_cuts(small_examples: Path, tmp_path: Path) -> None:
    figures = transform(small_examples, tmp_path, min_frequency=2)
    assert lines(tmp_path / "vocabularies" / "tokens") == ["the", "dog", "cat"]
    assert figures["oov_rate"] == pytest.approx(5 / 11, abs=1e-12)


def test_case_and_characters_in_the_vocabulary(small_examples: Path, tmp_path: Path) -> None:
    transform(small_examples, tmp_path / "cased", lowercase=False)
    assert lines(tmp_path / "cased" / "vocabularies" / "tokens") == [
        "dog",
        "cat",
        "É",
        "the",
        "The",
        "A",
        ".",
        ",",
        "!",
    ]

    transform(small_examples, tmp_path / "char", tokens="char", vocab_size=3)
    # 5 spaces, 4 t, 3 a.
    assert lines(tmp_path / "char" / "vocabularies" / "tokens") == [" ", "t", "a"]


def test_two_runs_write_the_same_bytes(
    small_examples: Path, small_features: Path, tmp_path: Path
) -> None:
    transform(small_examples, tmp_path)
    assert artifact_digest(tmp_path) == artifact_digest(small_features)


@pytest.mark.parametrize("num_shards", [2, 3])
def test_vocabulary_does_not_depend_on_the_shards(
    small_features: Path, tmp_path: Path, num_shards: int
) -> None:
    transform(
        write_examples(tmp_path / "examples", ROWS, num_shards=num_shards), tmp_path / "features"
    )
    for name in ("tokens", "labels"):
        path = Path("vocabularies", name)
        assert (tmp_path / "features" / path).read_bytes() == (small_features / path).read_bytes()


def test_tensorflow_transform_opens_the_output(small_features: Path) -> None:
    opened = tft.TFTransformOutput(str(small_features))
    assert opened.vocabulary_size_by_name("tokens") == len(TOKENS)
    assert [token.decode() for token in opened.vocabulary_by_name("labels")] == LABELS
    spec = opened.transformed_feature_spec()
    assert spec == {
        "ids": tf.io.VarLenFeature(tf.int64),
        "length": tf.io.FixedLenFeature([], tf.int64),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "words": tf.io.VarLenFeature(tf.int64),
        "unknown": tf.io.VarLenFeature(tf.string),
    }


def test_sentences_of_a_script_without_spaces_are_no_words(tmp_path: Path) -> None:
    texts = ["\u8fd9\u662f\u597d\u7535\u5f71", "\u7535\u5f71\u4e0d\u597d"]
    examples = write_examples(
        tmp_path / "examples", {split: [*zip(texts, "ab", strict=True)] for split in SPLITS}
    )
    with pytest.raises(DataError, match=r"words \(cjk\): set transform\.tokens = \"char\"\.$"):
        transform(examples, tmp_path / "features", min_frequency=2, tokens="word")

    # By script, characters are the tokens.
    by_script = transform(examples, tmp_path / "characters", min_frequency=2)
    assert (by_script["tokens"], by_script["num_tokens"]) == ("char", 3)


def test_an_empty_vocabulary_is_refused(small_examples: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"occurs 3 times or more.*Lower transform\.min_frequency"):
        transform(small_examples, tmp_path / "few", min_frequency=3)
    no_text = write_examples(
        tmp_path / "examples", {split: [(" ", "a"), ("", "b")] for split in SPLITS}
    )
    with pytest.raises(DataError, match="the vocabulary would be empty"):
        transform(no_text, tmp_path / "none")


def test_what_is_not_examples_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no examples\.json"):
        transform(tmp_path, tmp_path / "output")


def test_a_truncated_shard_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", ROWS)
    [path] = shards(examples, TRAIN)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"{path.name} is not whole"):
        transform(examples, tmp_path / "output", span_cache=SpanCache(tmp_path / "span_cache"))
    assert list((tmp_path / "span_cache").iterdir()) == []


def test_tokens_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = {
        TRAIN: [(["New York", "A"], "a"), (["A", "."], "b")],
        EVAL: [(["a", "."], "a")],
        TEST: [(["New York"], "b")],
    }
    transform(
        write_examples(tmp_path / "examples", rows, "tokens"), tmp_path / "features", max_length=1
    )
    assert lines(tmp_path / "features" / "vocabularies" / "tokens") == ["A", "New York", "."]
    assert read_ids(tmp_path / "features", TRAIN) == [([2], 1, 0), ([1], 1, 1)]
    assert read_ids(tmp_path / "features", EVAL) == [([4], 1, 0)]


def test_features_that_differ_from_the_graph_are_found(
    small_examples: Path, small_features: Path, tmp_path: Path
) -> None:
    graph.verify(small_examples, read_manifest(small_examples), small_features)
    features = shutil.copytree(small_features, tmp_path / "features")
    [path] = shards(features, EVAL)
    columns = [
        tf_example_writer.int_lists("ids", np.array([1, 2, 3]), np.array([3])),
        tf_example_writer.few_int_features("label", np.array([1])),
        tf_example_writer.few_int_features("length", np.array([3])),
    ]
    write_records(path, tf_example_writer.examples(columns))
    with pytest.raises(AssertionError, match=r"row 1: the graph gives other ids"):
        graph.verify(small_examples, read_manifest(small_examples), features)
