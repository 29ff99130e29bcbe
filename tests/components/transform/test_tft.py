"""The vocabulary and the ids are those of tensorflow-transform."""

from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.transform.text import normalize, tokenize
from seqline.data.examples import raw_features
from seqline.data.features import TRAIN, shards
from seqline.jobs.beam import LOCAL_RUNNER, pipeline_options
from tests.support.exports import read_ids
from tests.support.transformed import lines, transform


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
        ids for ids, _, _ in read_ids(tmp_path / "ours", TRAIN)
    ]
