import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.base import DataError
from components.beam import LOCAL_RUNNER, pipeline_options
from components.example_gen.ingest import serialize
from components.features import EVAL, SPLITS, TEST, TRAIN, shard_path, shards
from components.transform import TRANSFORM, TransformParams, run, vocabulary
from components.transform.nfc import nfc
from components.transform.text import normalize, tokenize
from pipeline.store import artifact_digest

ROOT = Path(__file__).parents[1]
Rows = dict[str, list[tuple[str, str]]]

# Counts of the train split: the 2, cat 2, dog 2, and é . , a ! once each: 11 tokens in all.
ROWS: Rows = {
    TRAIN: [("The cat, the dog.", "zoo"), ("A cat!", "Farm"), ("dog E\u0301", "zoo"), ("", "école")],
    EVAL: [("the unknown cat", "zoo")],
    TEST: [("Dog.", "Farm")],
}
TOKENS = ["the", "dog", "cat", "é", "a", ".", ",", "!"]
LABELS = ["Farm", "zoo", "école"]
OOV = len(TOKENS) + 1

BATCH = [tf.TensorSpec([None], tf.string)]
compiled_nfc = tf.function(nfc, input_signature=BATCH)
compiled_lower = tf.function(lambda text: normalize(text, True), input_signature=BATCH)
compiled_as_is = tf.function(lambda text: normalize(text, False), input_signature=BATCH)

# Marks of several classes and of the same one, what they compose with, what composition excludes, and Hangul of all kinds.
DIFFICULT = (
    "aeioAEIOcsdqkΩω\u03b1\u03b9עשकড"
    "\u0300\u0301\u0302\u0304\u0307\u0308\u030a\u031b\u0323\u0327\u0328\u0338\u0345\u034f\u05b0\u05bc\u05c1"
    "éåÅẹ́ṩǖợ\u212b\u2126\u1e9b\u0344\u0958\u0f73\u0f43\u2adc\ufb2a\u1fc1\u1f82\u09c7\u09be\u09d7\u0dd9\u0dcf\u0dca\u1025\u102e"
    "\u3099か\u309a\u1100\u1112\u1161\u1175\u1176\u11a7\u11a8\u11c2\u11c3가각힣\U0001d15e\U0001d157\U0001d165\U00011131\U00011127\U0002f800 .\x00"
)


def normalized(text: str | bytes, lowercase: bool = True) -> str:
    return (compiled_lower if lowercase else compiled_as_is)(tf.constant([text])).numpy()[0].decode()


def tokenized(text: str, tokens: str = "word") -> list[str]:
    return [token.decode() for token in tokenize(compiled_lower(tf.constant([text])), tokens).to_list()[0]]


def write_examples(root: Path, rows: Rows, num_shards: int = 1) -> Path:
    for split in SPLITS:
        for shard in range(num_shards):
            path = shard_path(root, split, shard, num_shards)
            path.parent.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for text, label in rows[split][shard::num_shards]:
                    writer.write(serialize(SimpleNamespace(text=text, label=label)))
    return root


def read_features(root: Path, split: str) -> list[tuple[list[int], int, int]]:
    rows = []
    for path in shards(root, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            feature = tf.train.Example.FromString(serialized.numpy()).features.feature
            ids, length, label = (list(feature[name].int64_list.value) for name in ("ids", "length", "label"))
            rows.append((ids, length[0], label[0]))
    return rows


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def check_nfc(texts: list[str]) -> None:
    found = [text.decode() for text in compiled_nfc(tf.constant(texts, tf.string)).numpy()]
    assert found == [unicodedata.normalize("NFC", text) for text in texts]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(), max_size=20))
def test_nfc_is_pythons(texts: list[str]) -> None:
    check_nfc(texts)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(alphabet=sorted(set(DIFFICULT)), max_size=30), max_size=20))
def test_nfc_is_pythons_where_characters_interact(texts: list[str]) -> None:
    check_nfc(texts)


def test_nfc_is_pythons_for_every_code_point() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    check_nfc(characters)
    changed = [char for char in characters if unicodedata.normalize("NFD", char) != char]
    check_nfc([unicodedata.normalize("NFD", char) for char in changed])
    check_nfc(["a" + char + "\u0301" for char in characters if unicodedata.combining(char)])


def test_nfc_does_not_join_across_rows() -> None:
    check_nfc(["e", "\u0301", "", "\u1100", "\u1161", "\u11a8", "e\u0301"])
    check_nfc([])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u0085b", "a b"),
        ("a\u00a0b", "a b"),
        ("a\x00b", "a b"),
        ("\x00 a \t\r\n b\u2028\u3000", "a b"),
        ("so\u00adft", "soft"),
        ("\ufeffmark", "mark"),
        ("a\u200db", "ab"),
        ("e\u200d\u0301", "é"),
        (b"a\xffb", "a\ufffdb"),
        (b"\xe2\x82", "\ufffd"),
        ("É", "é"),
        ("E\u0301", "é"),
        ("Straße", "straße"),
        ("STRASSE", "strasse"),
        ("\u03a3", "\u03c3"),
        ("ΟΔΟΣ ΟΔΟΣ", "οδος οδος"),
        ("I\u0130", "ii\u0307"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_normalize(text: str | bytes, expected: str) -> None:
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("ÉΣ\u00a0A\x00b", "ÉΣ A b"), (b"A\xffB", "A\ufffdB"), ("E\u0301\ufeff", "É"), (b"a\x00\xff\x00b", "a \ufffd b")]
)
def test_normalize_can_leave_the_case(text: str | bytes, expected: str) -> None:
    assert normalized(text, lowercase=False) == expected


def check_normalized(text: str) -> None:
    assert unicodedata.normalize("NFC", text) == text
    assert text == " ".join(text.split(" ")).strip(" ")
    assert "  " not in text
    assert not [
        char for char in text if unicodedata.category(char) in ("Cc", "Zl", "Zp") or (unicodedata.category(char) == "Zs" and char != " ")
    ]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary() | st.text().map(str.encode), min_size=1, max_size=20))
def test_normalize_gives_clean_utf8_for_any_bytes(texts: list[bytes]) -> None:
    for function in (compiled_lower, compiled_as_is):
        found = function(tf.constant(texts)).numpy().tolist()
        assert len(found) == len(texts)
        for text in found:
            check_normalized(text.decode())
        assert function(tf.constant(found)).numpy().tolist() == found


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_tokens_are_the_text_without_its_spaces(text: str) -> None:
    clean = normalized(text)
    words = tokenized(text)
    assert "" not in words
    assert "".join(words) == clean.replace(" ", "")
    assert tokenized(text, "char") == list(clean)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't.", ["i", "don", "'", "t", "."]),
        ("snake_case", ["snake", "_", "case"]),
        ("猫が好き。犬も", ["猫が好き", "。", "犬も"]),
        ("3.14 4x4 ٣", ["3", ".", "14", "4x4", "٣"]),
        ("...", [".", ".", "."]),
        ("E\u0301te\u0301 q\u0323\u0308", ["été", "q\u0323\u0308"]),
        ("हिन्दी", ["हिन्दी"]),
        ("👍🏽ok", ["👍", "🏽", "ok"]),
        ("", []),
        (" \x00 ", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert tokenized(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("A  b!", ["a", " ", "b", "!"]), ("猫e\u0301", ["猫", "é"]), ("", [])])
def test_characters(text: str, expected: list[str]) -> None:
    assert tokenized(text, "char") == expected


# Turkish lower-cases I without its dot, Lithuanian adds one below an accent.
LOWER_SCRIPT = """
import hashlib, sys
import tensorflow as tf
from components.transform.text import normalize
texts = ["TITLE \u0130I\u0307", "I\u0301 J\u0301 \u012e\u0301 \u00cc \u00cd \u0128"]
print(ascii([text.decode() for text in normalize(tf.constant(texts)).numpy()]))
characters = [char for char in map(chr, range(sys.maxunicode + 1)) if char.lower() != char]
rows = [before + char + after for before in ("", "A") for char in characters for after in ("", "\u0301", "\u0307")]
print(hashlib.sha256(b"|".join(normalize(tf.constant(rows)).numpy())).hexdigest())
"""


def test_lower_case_does_not_depend_on_the_locale() -> None:
    running = {
        locale: subprocess.Popen(
            [sys.executable, "-c", LOWER_SCRIPT], env={**os.environ, "LC_ALL": locale}, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for locale in ("C.UTF-8", "tr_TR.UTF-8", "lt_LT.UTF-8")
    }
    printed = {locale: process.communicate()[0] for locale, process in running.items()}
    assert printed["C.UTF-8"].startswith(ascii(["title i\u0307i\u0307", "\u00ed j\u0301 \u012f\u0301 \u00ec \u00ed \u0129"]))
    assert printed["tr_TR.UTF-8"] == printed["C.UTF-8"]
    assert printed["lt_LT.UTF-8"] == printed["C.UTF-8"]


@pytest.fixture(scope="module")
def small_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("small"), ROWS)


@pytest.fixture(scope="module")
def small_features(small_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("small_features")
    run(examples=small_examples, params=TransformParams(min_frequency=1), output=output)
    return output


def test_vocabularies_are_ranked_by_count_then_bytes_and_labels_by_bytes(small_features: Path) -> None:
    assert lines(small_features / "vocabularies" / "tokens") == TOKENS
    assert lines(small_features / "vocabularies" / "labels") == LABELS
    assert sorted(path.name for path in (small_features / "vocabularies").iterdir()) == ["labels", "tokens"]


def test_ids_count_from_one_and_oov_is_the_last(small_features: Path) -> None:
    assert read_features(small_features, TRAIN) == [
        ([1, 3, 7, 1, 2, 6], 6, 1),
        ([5, 3, 8], 3, 0),
        ([2, 4], 2, 1),
        ([], 0, 2),
    ]
    assert read_features(small_features, EVAL) == [([1, OOV, 3], 3, 1)]
    assert read_features(small_features, TEST) == [([2, 6], 2, 0)]


def test_output_holds_the_promised_files_and_nothing_else(small_features: Path, small_examples: Path) -> None:
    names = ["Split-eval", "Split-test", "Split-train", "transform.json", "transform_fn", "transformed_metadata", "vocabularies"]
    assert sorted(path.name for path in small_features.iterdir()) == names
    for split in SPLITS:
        assert [path.name for path in (small_features / f"Split-{split}").iterdir()] == [
            path.name for path in shards(small_examples, split)
        ]
    assert json.loads((small_features / "transform.json").read_text()) == {
        "max_length": 256,
        "num_tokens": 8,
        "num_classes": 3,
        "num_distinct_tokens": 8,
        "oov_rate": 0.0,
        "num_rows": {"train": 4, "eval": 1, "test": 1},
        "num_at_max_length": 0,
    }


def test_vocab_size_and_max_length_cut(small_examples: Path, tmp_path: Path) -> None:
    figures = run(examples=small_examples, params=TransformParams(vocab_size=2, min_frequency=1, max_length=3), output=tmp_path)
    assert lines(tmp_path / "vocabularies" / "tokens") == ["the", "dog"]
    assert read_features(tmp_path, TRAIN) == [([1, 3, 3], 3, 1), ([3, 3, 3], 3, 0), ([2, 3], 2, 1), ([], 0, 2)]
    assert figures == {
        "num_tokens": 2,
        "num_classes": 3,
        "num_distinct_tokens": 8,
        "oov_rate": pytest.approx(7 / 11, abs=1e-12),
        "num_rows": {"train": 4, "eval": 1, "test": 1},
        "num_at_max_length": 3,
    }
    assert (
        TRANSFORM.describe(figures) == "vocabulary of 2 tokens, 3 classes; 63.6% of train tokens outside it; 50% of rows reach max_length"
    )


def test_min_frequency_cuts(small_examples: Path, tmp_path: Path) -> None:
    built = vocabulary.build(small_examples, TransformParams(min_frequency=2), tmp_path / "vocabularies", [])
    assert lines(built.tokens) == ["the", "dog", "cat"]
    assert built.figures["oov_rate"] == pytest.approx(5 / 11, abs=1e-12)


def test_case_and_characters_in_the_vocabulary(small_examples: Path, tmp_path: Path) -> None:
    cased = vocabulary.build(small_examples, TransformParams(min_frequency=1, lowercase=False), tmp_path / "cased", [])
    assert lines(cased.tokens) == ["dog", "cat", "É", "the", "The", "A", ".", ",", "!"]
    characters = vocabulary.build(small_examples, TransformParams(tokens="char", vocab_size=3), tmp_path / "char", [])
    # 5 spaces, 4 t, 3 a.
    assert lines(characters.tokens) == [" ", "t", "a"]


def test_two_runs_write_the_same_bytes(small_examples: Path, small_features: Path, tmp_path: Path) -> None:
    run(examples=small_examples, params=TransformParams(min_frequency=1), output=tmp_path)
    assert artifact_digest(tmp_path) == artifact_digest(small_features)


@pytest.mark.parametrize("num_shards", [2, 3])
def test_vocabulary_does_not_depend_on_the_shards(small_features: Path, tmp_path: Path, num_shards: int) -> None:
    examples = write_examples(tmp_path / "examples", ROWS, num_shards)
    built = vocabulary.build(examples, TransformParams(min_frequency=1), tmp_path / "vocabularies", [])
    for path in (built.tokens, built.labels):
        assert path.read_bytes() == (small_features / "vocabularies" / path.name).read_bytes()


def test_tensorflow_transform_opens_the_output(small_features: Path) -> None:
    opened = tft.TFTransformOutput(str(small_features))
    assert opened.vocabulary_size_by_name("tokens") == len(TOKENS)
    assert [token.decode() for token in opened.vocabulary_by_name("labels")] == LABELS
    spec = opened.transformed_feature_spec()
    assert spec == {
        "ids": tf.io.VarLenFeature(tf.int64),
        "length": tf.io.FixedLenFeature([], tf.int64),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }


def test_an_empty_vocabulary_is_refused(small_examples: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"occurs 3 times or more.*Lower transform\.min_frequency"):
        run(examples=small_examples, params=TransformParams(min_frequency=3), output=tmp_path / "few")
    no_text = write_examples(tmp_path / "examples", {split: [(" ", "a"), ("", "b")] for split in SPLITS})
    with pytest.raises(DataError, match="the vocabulary would be empty"):
        run(examples=no_text, params=TransformParams(min_frequency=1), output=tmp_path / "none")


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No files for split 'train' under .*found splits \[\]"):
        run(examples=tmp_path, params=TransformParams(), output=tmp_path / "output")


def test_the_vocabulary_is_tfts(examples: Path, tmp_path: Path) -> None:
    params = TransformParams(min_frequency=1, vocab_size=60)  # cuts among the numbers, which occur once
    texts = []
    for path in shards(examples, TRAIN):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            texts.append({"text": tf.io.parse_single_example(serialized, vocabulary.RAW_FEATURES)["text"].numpy()})

    def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        tokens = tokenize(normalize(inputs["text"]), "word").to_sparse()
        ids = tft.compute_and_apply_vocabulary(
            tokens, top_k=params.vocab_size, frequency_threshold=params.min_frequency, num_oov_buckets=1, vocab_filename="tokens"
        )
        return {"ids": ids}

    schema = schema_utils.schema_from_feature_spec({"text": tf.io.FixedLenFeature([], tf.string)})
    with beam.Pipeline(options=pipeline_options([LOCAL_RUNNER])) as pipeline, tft_beam.Context(temp_dir=str(tmp_path / "temp")):
        raw = (pipeline | beam.Create(texts), dataset_metadata.DatasetMetadata(schema))
        _ = raw | tft_beam.AnalyzeDataset(preprocessing_fn) | tft_beam.WriteTransformFn(str(tmp_path / "tft"))
    built = vocabulary.build(examples, params, tmp_path / "vocabularies", [])
    assert built.tokens.read_bytes() == Path(tft.TFTransformOutput(str(tmp_path / "tft")).vocabulary_file_by_name("tokens")).read_bytes()
    assert len(lines(built.tokens)) == built.figures["num_tokens"] == 60
