import gc
import json
import os
import subprocess
import sys
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.transform import TRANSFORM, TransformParams, check, graph, run, vocabulary
from components.transform.analysis import NUM_GROUPS, buckets_of, sum_tables
from components.transform.nfc import nfc
from components.transform.text import normalize, tokenize
from pipeline.store.layout import artifact_digest
from seqline.data import counts, tf_example_writer
from seqline.data.examples import raw_features, write_records
from seqline.data.features import EVAL, SPLITS, TEST, TRAIN, shards
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError, UserError
from seqline.jobs.beam import LOCAL_RUNNER, pipeline_options
from tests.conftest import write_examples
from tests.support import CHECKOUT

Rows = dict[str, list[tuple[str, str]]]

# Counts of the train split: the 2, cat 2, dog 2, and é . , a ! once each: 11 tokens in all.
ROWS: Rows = {
    TRAIN: [
        ("The cat, the dog.", "zoo"),
        ("A cat!", "Farm"),
        ("dog E\u0301", "zoo"),
        ("", "école"),
    ],
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

# Marks of several classes and of the same one, what they compose with, what composition excludes,
# and Hangul of all kinds.
DIFFICULT = (
    "aeioAEIOcsdqkΩω\u03b1\u03b9עשकড\u0300\u0301\u0302\u0304\u0307\u0308\u030a\u031b\u0323\u0327\u0328\u0338\u0345\u034f\u05b0\u05bc\u05c1éåÅẹ́ṩǖợ\u212b\u2126\u1e9b\u0344\u0958\u0f73\u0f43\u2adc\ufb2a\u1fc1\u1f82\u09c7\u09be\u09d7\u0dd9\u0dcf\u0dca\u1025\u102e\u3099か\u309a\u1100\u1112\u1161\u1175\u1176\u11a7\u11a8\u11c2\u11c3가각힣\U0001d15e\U0001d157\U0001d165\U00011131\U00011127\U0002f800"
    " .\x00"
)


def normalized(text: str | bytes, lowercase: bool = True) -> str:
    return (
        (compiled_lower if lowercase else compiled_as_is)(tf.constant([text])).numpy()[0].decode()
    )


def tokenized(text: str, tokens: str = "word") -> list[str]:
    return [
        token.decode()
        for token in tokenize(compiled_lower(tf.constant([text])), tokens).to_list()[0]
    ]


def read_features(root: Path, split: str) -> list[tuple[list[int], int, int]]:
    rows = []
    for path in shards(root, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            feature = tf.train.Example.FromString(serialized.numpy()).features.feature
            ids, length, label = (
                list(feature[name].int64_list.value) for name in ("ids", "length", "label")
            )
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
    ("text", "expected"),
    [
        ("ÉΣ\u00a0A\x00b", "ÉΣ A b"),
        (b"A\xffB", "A\ufffdB"),
        ("E\u0301\ufeff", "É"),
        (b"a\x00\xff\x00b", "a \ufffd b"),
    ],
)
def test_normalize_can_leave_the_case(text: str | bytes, expected: str) -> None:
    assert normalized(text, lowercase=False) == expected


def check_normalized(text: str) -> None:
    assert unicodedata.normalize("NFC", text) == text
    assert text == " ".join(text.split(" ")).strip(" ")
    assert "  " not in text
    assert not [
        char
        for char in text
        if unicodedata.category(char) in ("Cc", "Zl", "Zp")
        or (unicodedata.category(char) == "Zs" and char != " ")
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


@pytest.mark.parametrize(
    ("text", "expected"), [("A  b!", ["a", " ", "b", "!"]), ("猫e\u0301", ["猫", "é"]), ("", [])]
)
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


def test_lower_case_does_not_depend_on_the_locale(capsys: pytest.CaptureFixture[str]) -> None:
    running = {
        locale: subprocess.Popen(
            [sys.executable, "-c", LOWER_SCRIPT],
            env={**os.environ, "LC_ALL": locale},
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for locale in ("tr_TR.UTF-8", "lt_LT.UTF-8")
    }
    exec(LOWER_SCRIPT, {})
    printed = capsys.readouterr().out
    assert printed.startswith(
        ascii(["title i\u0307i\u0307", "\u00ed j\u0301 \u012f\u0301 \u00ec \u00ed \u0129"])
    )
    for locale, process in running.items():
        assert process.communicate()[0] == printed, locale


@pytest.fixture(scope="module")
def small_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("small"), ROWS)


@pytest.fixture(scope="module")
def small_features(small_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("small_features")
    run(examples=small_examples, params=TransformParams(min_frequency=1), output=output)
    return output


def transform(examples: Path, output: Path, **arguments: object) -> dict:
    """A run with a vocabulary of everything unless told otherwise.

    `span_cache` and `previous` aside, arguments are params.
    """
    extra = {name: arguments.pop(name) for name in ("span_cache", "previous") if name in arguments}
    output.mkdir(parents=True, exist_ok=True)
    return run(
        examples=examples,
        params=TransformParams(**{"min_frequency": 1, **arguments}),
        output=output,
        **extra,
    )


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
    assert read_features(small_features, TRAIN) == [
        ([1, 3, 7, 1, 2, 6], 6, 1),
        ([5, 3, 8], 3, 0),
        ([2, 4], 2, 1),
        ([], 0, 2),
    ]
    assert read_features(small_features, EVAL) == [([1, OOV, 3], 3, 1)]
    assert read_features(small_features, TEST) == [([2, 6], 2, 0)]


def test_output_holds_the_promised_files_and_nothing_else(
    small_features: Path, small_examples: Path
) -> None:
    names = [
        "Split-eval",
        "Split-test",
        "Split-train",
        "transform.json",
        "transform_fn",
        "transformed_metadata",
        "vocabularies",
    ]
    assert sorted(path.name for path in small_features.iterdir()) == names
    for split in SPLITS:
        assert [path.name for path in (small_features / f"Split-{split}").iterdir()] == [
            path.name for path in shards(small_examples, split)
        ]
    assert json.loads((small_features / "transform.json").read_text()) == {
        "max_length": 256,
        "tokens": "word",
        "lowercase": True,
        "content": "text",
        "dim": None,
        "num_tokens": 8,
        "num_classes": 3,
        "num_distinct_tokens": 8,
        "oov_rate": 0.0,
        "num_rows": {"train": 4, "eval": 1, "test": 1},
        "num_at_max_length": 0,
    }


def test_vocab_size_and_max_length_cut(small_examples: Path, tmp_path: Path) -> None:
    figures = transform(small_examples, tmp_path, vocab_size=2, max_length=3)
    assert lines(tmp_path / "vocabularies" / "tokens") == ["the", "dog"]
    assert read_features(tmp_path, TRAIN) == [
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
        "num_rows": {"train": 4, "eval": 1, "test": 1},
        "num_at_max_length": 3,
        "num_spans": 1,
        "num_spans_analyzed": 1,
        "num_shards_made": 3,
    }
    assert (
        TRANSFORM.describe(figures)
        == "vocabulary of 2 tokens, 3 classes; 63.6% of train tokens outside it; 50% of rows reach"
        " max_length"
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


def test_reserved_tokens_come_first_whether_they_occur_or_not(
    small_examples: Path, tmp_path: Path
) -> None:
    figures = transform(small_examples, tmp_path, reserved_tokens=["<url>", "cat"], vocab_size=4)
    assert lines(tmp_path / "vocabularies" / "tokens") == ["<url>", "cat", "the", "dog"]
    assert figures["oov_rate"] == pytest.approx(5 / 11, abs=1e-12)


def test_an_imported_vocabulary_keeps_its_ids_frozen_or_extended(
    small_examples: Path, tmp_path: Path
) -> None:
    imported = tmp_path / "imported"
    imported.write_bytes("cat\nunseen\né\n".encode())
    figures = transform(small_examples, tmp_path / "frozen", vocabulary=str(imported))
    assert lines(tmp_path / "frozen" / "vocabularies" / "tokens") == ["cat", "unseen", "é"]
    assert figures["oov_rate"] == pytest.approx(8 / 11, abs=1e-12)
    assert read_features(tmp_path / "frozen", EVAL) == [([4, 4, 1], 3, 1)]
    transform(
        small_examples,
        tmp_path / "extended",
        vocabulary=str(imported),
        vocabulary_mode="extend",
        vocab_size=5,
    )
    assert lines(tmp_path / "extended" / "vocabularies" / "tokens") == [
        "cat",
        "unseen",
        "é",
        "the",
        "dog",
    ]


def test_a_vocabulary_that_knows_no_token_is_refused(small_examples: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("The\nDOG\n")
    with pytest.raises(
        DataError,
        match=r"None of the 2 tokens of the vocabulary occurs .* transform\.lowercase True give",
    ):
        transform(small_examples, tmp_path / "output", vocabulary=str(tmp_path / "tokens"))


def test_what_is_outside_is_the_imported_vocabularys_content(tmp_path: Path) -> None:
    assert TRANSFORM.external_digest is not None
    (tmp_path / "a").write_text("x\n")
    (tmp_path / "b").write_text("x\n")
    (tmp_path / "c").write_text("y\n")
    digests = [
        TRANSFORM.external_digest(TransformParams(vocabulary=str(tmp_path / name)))
        for name in "abc"
    ]
    assert digests[0] == digests[1] != digests[2]
    assert TRANSFORM.external_digest(TransformParams()) == ""
    assert "vocabulary" not in TransformParams().key_fields()


@pytest.mark.parametrize(
    ("content", "reserved", "message"),
    [
        (None, [], "transform.vocabulary .*No such file"),
        (b"", [], "holds no token"),
        (b"a\n\nb\n", [], ":2 is empty"),
        (b"a\nb\na\n", [], ":3 repeats line 1"),
        (b"a\n", ["<url>"], r"\['<url>'\] are not in the frozen vocabulary"),
        (b"a\n", ["a", "a"], "names a token twice"),
        (b"a\r\nb\r\n", [], ":1 ends in a carriage return"),
        (b"a\n\xff\n", [], ":2 is not UTF-8"),
        (b"a\n", [""], "a token is not empty"),
    ],
)
def test_vocabulary_files_that_cannot_work(
    content: bytes | None, reserved: list[str], message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(UserError, match=message):
        check(TransformParams(vocabulary=str(tmp_path / "tokens"), reserved_tokens=reserved))


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
    }


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


def test_the_vocabulary_and_the_ids_are_tfts(examples: Path, tmp_path: Path) -> None:
    vocab_size = 60  # cuts among the numbers, which occur once
    texts = []
    for path in shards(examples, TRAIN):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            texts.append(
                {
                    "text": (
                        tf.io.parse_single_example(serialized, raw_features("text"))["text"].numpy()
                    )
                }
            )

    def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        tokens = tokenize(normalize(inputs["text"]), "word").to_sparse()
        return {
            "ids": tft.compute_and_apply_vocabulary(
                tokens, top_k=vocab_size, num_oov_buckets=1, vocab_filename="tokens"
            )
        }

    schema = schema_utils.schema_from_feature_spec({"text": tf.io.FixedLenFeature([], tf.string)})
    with (
        beam.Pipeline(options=pipeline_options([LOCAL_RUNNER])) as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path / "temp")),
    ):
        raw = (pipeline | beam.Create(texts), dataset_metadata.DatasetMetadata(schema))
        _ = (
            raw
            | tft_beam.AnalyzeDataset(preprocessing_fn)
            | tft_beam.WriteTransformFn(str(tmp_path / "tft"))
        )
    figures = transform(examples, tmp_path / "ours", vocab_size=vocab_size)
    theirs = tft.TFTransformOutput(str(tmp_path / "tft"))
    ours = tmp_path / "ours" / "vocabularies" / "tokens"
    assert ours.read_bytes() == Path(theirs.vocabulary_file_by_name("tokens")).read_bytes()
    assert len(lines(ours)) == figures["num_tokens"] == vocab_size
    graph = tf.saved_model.load(str(tmp_path / "tft" / "transform_fn"))
    expected = tf.sparse.to_dense(
        graph.transform_fn({"text": tf.constant([row["text"] for row in texts])})["ids"],
        default_value=-1,
    ).numpy()
    assert [[number + 1 for number in row if number >= 0] for row in expected.tolist()] == [
        ids for ids, _, _ in read_features(tmp_path / "ours", TRAIN)
    ]


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(
        st.text(st.sampled_from("aB \t\u0085é!.'\u0300İ\u200b漢"), max_size=12),
        min_size=1,
        max_size=8,
    ),
    tokens=st.sampled_from(["word", "char"]),
)
def test_tokenised_shards_hold_the_graphs_tokens(texts: list[str], tokens: str) -> None:
    from components.transform.analysis import TokenizeShard
    from seqline.data.examples import ExampleShard

    doing = TokenizeShard({}, "text", TransformParams(tokens=tokens))
    doing.setup()
    shard = doing.tokenize(
        ExampleShard(0, TRAIN, "x", [text.encode() for text in texts], [b"a"] * len(texts))
    )
    ends = np.cumsum(shard.lengths)
    found = [
        [shard.tokens[index] for index in shard.indices[end - length : end]]
        for end, length in zip(ends, shard.lengths, strict=True)
    ]
    assert (
        found
        == tokenize(
            compiled_lower(tf.constant([text.encode() for text in texts])), tokens
        ).to_list()
    )
    assert len(set(shard.tokens)) == len(shard.tokens)


WEEKS: list[Rows] = [
    {
        TRAIN: [(f"{week} and the", "a"), ("again", "b")],
        EVAL: [("the", "a")],
        TEST: [("again", "b")],
    }
    for week in ("one", "two", "three")
]


def write_weeks(root: Path, weeks: range) -> Path:
    for week in weeks:
        write_examples(root, WEEKS[week], span=week, key=f"week {week}")
    return root


def test_a_new_span_is_the_only_one_that_is_analyzed_and_the_result_is_that_of_a_full_pass(
    tmp_path: Path,
) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    two = transform(
        write_weeks(tmp_path / "two", range(2)), tmp_path / "of_two", span_cache=span_cache
    )
    # The eval and test rows of the weeks are the same: made once.
    assert (two["num_spans_analyzed"], two["num_shards_made"]) == (2, 4)
    three = transform(
        write_weeks(tmp_path / "three", range(3)),
        tmp_path / "of_three",
        span_cache=span_cache,
        previous=tmp_path / "of_two",
    )
    assert three["num_spans_analyzed"] == 1
    transform(tmp_path / "three", tmp_path / "full")
    assert artifact_digest(tmp_path / "of_three") == artifact_digest(tmp_path / "full")
    # "three" takes its place between the others by count, then bytes; it is one of 12 train tokens.
    assert lines(tmp_path / "of_three" / "vocabularies" / "tokens") == [
        "the",
        "and",
        "again",
        "two",
        "three",
        "one",
    ]
    assert three["vocabulary_drift"] == {
        "num_new": 1,
        "num_gone": 0,
        "num_moved": 1,
        "new_token_rate": pytest.approx(1 / 12),
    }
    window = transform(
        write_weeks(tmp_path / "window", range(1, 3)),
        tmp_path / "of_window",
        span_cache=span_cache,
        previous=tmp_path / "of_three",
    )
    assert window["num_spans_analyzed"] == 0
    transform(tmp_path / "window", tmp_path / "full_window")
    assert artifact_digest(tmp_path / "of_window") == artifact_digest(tmp_path / "full_window")
    assert window["vocabulary_drift"]["num_gone"] == 1


def test_only_shards_whose_ids_changed_are_made_again(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    (tmp_path / "tokens").write_text("the\nagain\n")
    frozen = {"vocabulary": str(tmp_path / "tokens"), "span_cache": span_cache}
    transform(write_weeks(tmp_path / "two", range(2)), tmp_path / "of_two", **frozen)
    three = transform(write_weeks(tmp_path / "three", range(3)), tmp_path / "of_three", **frozen)
    # Week three is new, but all its new tokens are outside the vocabulary: its ids are those of
    # week one.
    assert (three["num_spans_analyzed"], three["num_shards_made"]) == (1, 0)
    with (tmp_path / "tokens").open("a") as file:
        file.write("two\n")
    again = transform(tmp_path / "three", tmp_path / "of_three_again", **frozen)
    # Another OOV id touches the train shards (week two's ids now differ from the others'); eval and
    # test hold no unknown token.
    assert (again["num_spans_analyzed"], again["num_shards_made"]) == (0, 2)


def test_another_tokeniser_does_not_use_the_parts_of_the_first(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    examples = write_weeks(tmp_path / "examples", range(1))
    assert transform(examples, tmp_path / "word", span_cache=span_cache)["num_spans_analyzed"] == 1
    assert (
        transform(examples, tmp_path / "char", span_cache=span_cache, tokens="char")[
            "num_spans_analyzed"
        ]
        == 1
    )
    assert (
        transform(examples, tmp_path / "short", span_cache=span_cache, max_length=2, vocab_size=3)[
            "num_spans_analyzed"
        ]
        == 0
    )


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
    assert read_features(tmp_path / "features", TRAIN) == [([2], 1, 0), ([1], 1, 1)]
    assert read_features(tmp_path / "features", EVAL) == [([4], 1, 0)]


SEQUENCES = {
    TRAIN: [
        ([[1, 10, 5], [3, 10, 6]], "a"),
        ([[5, 10, 7]], "b"),
        ([[7, 10, 0], [9, 10, 1], [2, 10, 3]], "a"),
    ],
    EVAL: [([[1, 11, 2]], "b")],
    TEST: [([[0, 9, 8]], "a")],
}


def read_values(root: Path, split: str) -> list[np.ndarray]:
    return [row for path in shards(root, split) for row in read_values_of(path)]


def read_values_of(path: Path) -> list[np.ndarray]:
    rows = []
    for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
        feature = tf.train.Example.FromString(serialized.numpy()).features.feature
        rows.append(
            np.array(feature["values"].float_list.value, np.float32).reshape(
                feature["length"].int64_list.value[0], -1
            )
        )
    return rows


@pytest.mark.parametrize("num_shards", [1, 3])
def test_sequences_are_standardised_as_tft_does(num_shards: int, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", SEQUENCES, "sequence", num_shards)
    transform(examples, tmp_path / "features")
    steps = [step for rows, _ in SEQUENCES[TRAIN] for step in rows]
    with (
        beam.Pipeline(options=pipeline_options([LOCAL_RUNNER])) as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path / "temp")),
    ):
        spec = {"step": tf.io.FixedLenFeature([3], tf.float32)}
        raw = [{"step": np.array(step, np.float32)} for step in steps]
        data = (
            pipeline | beam.Create(raw),
            dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec)),
        )
        _ = (
            data
            | tft_beam.AnalyzeDataset(
                lambda inputs: {"step": tft.scale_to_z_score(inputs["step"], elementwise=True)}
            )
            | tft_beam.WriteTransformFn(str(tmp_path / "tft"))
        )
    theirs = tf.saved_model.load(str(tmp_path / "tft" / "transform_fn"))
    for split in SPLITS:
        ours = read_values(tmp_path / "features", split)
        order = [
            row for source in range(num_shards) for row in SEQUENCES[split][source::num_shards]
        ]
        raw_steps = np.array([step for rows, _ in order for step in rows], np.float32)
        np.testing.assert_allclose(
            np.concatenate(ours),
            theirs.transform_fn({"step": raw_steps})["step"].numpy(),
            rtol=1e-6,
            atol=1e-6,
        )
    assert json.loads((tmp_path / "features" / "transform.json").read_text())["dim"] == 3
    assert lines(tmp_path / "features" / "vocabularies" / "labels") == ["a", "b"]


def test_sequences_as_they_are_and_cut(tmp_path: Path) -> None:
    figures = transform(
        write_examples(tmp_path / "examples", SEQUENCES, "sequence"),
        tmp_path / "f",
        standardize=False,
        max_length=2,
    )
    assert [row.tolist() for row in read_values(tmp_path / "f", TRAIN)] == [
        row[:2] for row, _ in SEQUENCES[TRAIN]
    ]
    assert figures["num_at_max_length"] == 2
    assert (
        TRANSFORM.describe(figures)
        == "sequences of 3 numbers a time step, 2 classes; 40% of rows reach max_length"
    )


def test_features_that_differ_from_the_graph_are_found(
    small_examples: Path, tmp_path: Path
) -> None:
    transform(small_examples, tmp_path)
    from seqline.data.examples import read_manifest

    graph.verify(small_examples, read_manifest(small_examples), tmp_path)
    [path] = shards(tmp_path, EVAL)
    columns = [
        tf_example_writer.int_lists("ids", np.array([1, 2, 3]), np.array([3])),
        tf_example_writer.few_int_features("label", np.array([1])),
        tf_example_writer.few_int_features("length", np.array([3])),
    ]
    write_records(path, tf_example_writer.examples(columns))
    with pytest.raises(AssertionError, match=r"row 1: the graph gives other ids"):
        graph.verify(small_examples, read_manifest(small_examples), tmp_path)


TABLES = st.lists(
    st.dictionaries(st.binary(max_size=3), st.integers(1, 2**40), max_size=30),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=30)
@given(TABLES)
def test_count_tables_sum_bucket_by_bucket(tables: list[dict[bytes, int]]) -> None:
    with TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(tables))]
        for path, table in zip(paths, tables, strict=True):
            counts.write(path, counts.split(table))
        found: dict[bytes, int] = {}
        for bucket in range(counts.NUM_BUCKETS):
            summed = counts.sum_bucket(paths, bucket)
            assert all(counts.bucket_of(entry) == bucket for entry in summed)
            found |= summed
    assert found == {
        entry: sum(table.get(entry, 0) for table in tables) for table in tables for entry in table
    }


def test_the_sum_of_tables_holds_one_bucket_at_a_time(tmp_path: Path) -> None:
    tables = []
    for number in range(3):
        tables.append(tmp_path / f"{number}.arrow")
        # A third of the entries is in all tables.
        entries = [
            f"{'' if entry % 3 else number}token {entry}".encode() for entry in range(60_000)
        ]
        counts.write(tables[-1], counts.split(dict.fromkeys(entries, number + 1)))
    (tmp_path / "counts").mkdir()

    def peak_of(work: Callable[[], object]) -> int:
        gc.collect()
        tracemalloc.start()
        kept = work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        del kept
        return peak

    def whole() -> dict[bytes, int]:
        return {
            entry: count
            for bucket in range(counts.NUM_BUCKETS)
            for entry, count in counts.sum_bucket(tables, bucket).items()
        }

    def streamed() -> tuple:
        for group in range(NUM_GROUPS):
            sum_tables(str(tmp_path), [str(table) for table in tables], group)
        return vocabulary.rank(
            buckets_of([tmp_path]), TransformParams(vocab_size=10, min_frequency=1)
        )

    tokens, figures, _ = streamed()
    assert figures["num_distinct_tokens"] == 100_000 == len(whole())
    assert (
        tokens[0] == b"token 9998"
    )  # counted 1 + 2 + 3 times, as 39,999 others; the last in the order of bytes
    assert peak_of(streamed) < peak_of(whole) / 8
