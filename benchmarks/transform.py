"""CPU and memory of transform, against TFX's way with the same libraries.

    python -m benchmarks.transform [--dataset agnews_small] [--rows 40000 400000] [--unique 0 1]

TFX's way is RecordBatches and compute_and_apply_vocabulary. The rows of a JSONL file, repeated, are
written as Examples; then once more with tokens of its own in every row (`--unique`), so that the
vocabulary grows with the data. Both ways read the same Examples, tokenise with the same ops and
write tf.Examples. The ids are compared by a digest that does not depend on the order of rows. Each
way runs in a process of its own; imports do not count.
"""

import glob
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import Table, in_own_process, measured, parser, print_result, read_jsonl

VOCAB_SIZE, MAX_LENGTH = 20_000, 256


def write_examples(data: Path, num_rows: int, unique: int, output: Path) -> None:
    """Writes the rows of a JSONL file, repeated, in shards as example_gen bounds them.

    Each row has `unique` tokens that no other row has.
    """
    from seqline.data import examples, features, manifest

    rows = read_jsonl(data)
    labels = [row["label"].encode() for row in rows]

    texts = []
    for number in range(num_rows):
        tokens = "".join(f" u{number * unique + token:x}" for token in range(unique))
        texts.append(rows[number % len(rows)]["text"] + tokens)

    per_shard = examples.SHARD_BYTES * len(texts) // sum(len(text.encode()) + 64 for text in texts)
    folder = output / f"Split-{features.TRAIN}"
    folder.mkdir(parents=True)
    for part, start in enumerate(range(0, num_rows, per_shard)):
        numbers = range(start, min(start + per_shard, num_rows))
        shard = examples.ExampleShard(
            0,
            features.TRAIN,
            examples.shard_name(0, 0, part),
            [texts[number].encode() for number in numbers],
            [labels[number % len(labels)] for number in numbers],
        )
        examples.write(shard, folder / shard.name, "text")

    counts = {features.TRAIN: dict.fromkeys(sorted({row["label"] for row in rows}), 1)}
    span = manifest.Span(0, "all", num_rows=counts)
    manifest.write_manifest(manifest.Manifest("text", None, (span,)), output)


def ours(examples: Path, output: Path) -> None:
    from components.transform import TransformParams, run

    params = TransformParams(vocab_size=VOCAB_SIZE, max_length=MAX_LENGTH, min_frequency=1)
    run(examples=examples, params=params, output=output)


def tfx_way(examples: Path, output: Path) -> None:
    import apache_beam as beam
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import schema_utils
    from tfx_bsl.coders import example_coder
    from tfx_bsl.public import tfxio

    from components.transform.text import normalize, tokenize
    from seqline.data import features
    from seqline.data.examples import raw_features
    from seqline.jobs.beam import pipeline_options

    def preprocessing_fn(inputs):
        tokens = tokenize(normalize(inputs[features.TEXT]), "word")
        ids = tft.compute_and_apply_vocabulary(
            tokens, top_k=VOCAB_SIZE, num_oov_buckets=1, vocab_filename="tokens"
        )
        ids = ids[:, :MAX_LENGTH]
        label = tft.compute_and_apply_vocabulary(inputs[features.LABEL], vocab_filename="labels")
        return {
            features.IDS: (ids + 1).to_sparse(),
            features.LENGTH: ids.row_lengths(),
            features.LABEL: label,
        }

    def encode(batch, _):
        return example_coder.RecordBatchToExamplesEncoder().encode(batch)

    source = tfxio.TFExampleRecord(
        str(examples / "Split-train" / "*.gz"),
        schema=schema_utils.schema_from_feature_spec(raw_features("text")),
        telemetry_descriptors=["b"],
    )
    analyze_and_transform = tft_beam.AnalyzeAndTransformDataset(
        preprocessing_fn, output_record_batches=True
    )
    prefix = str(output / "Split-train" / "data_tfrecord")

    with (
        beam.Pipeline(options=pipeline_options([])) as pipeline,
        tft_beam.Context(temp_dir=str(output / "temp")),
    ):
        raw = pipeline | source.BeamSource()
        (transformed, _), _ = (raw, source.TensorAdapterConfig()) | analyze_and_transform
        _ = (
            transformed
            | beam.FlatMapTuple(encode)
            | beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz")
        )


def checksum(output: Path) -> str:
    """A sum over the rows' digests of their ids."""
    import tensorflow as tf

    spec = {"ids": tf.io.RaggedFeature(tf.int64)}
    total = 0
    for path in glob.glob(str(output / "Split-train" / "*.gz")):
        for batch in tf.data.TFRecordDataset(path, compression_type="GZIP").batch(4096):
            for ids in tf.io.parse_example(batch, spec)["ids"].to_list():
                row = hashlib.blake2b(repr(ids).encode(), digest_size=8)
                total += int.from_bytes(row.digest(), "big")
    return f"{total % 2**64:016x}"


WAYS = {"tfx": tfx_way, "ours": ours}


def measure(way: str, examples: Path, output: Path) -> dict[str, Any]:
    import tfx_bsl.public.tfxio  # noqa: F401 - not part of what is measured

    _, figures = measured(WAYS[way], examples, output)
    return {**figures, "ids": checksum(output)}


def compare(data: Path, num_rows: int, unique: int, table: Table) -> dict[str, Any]:
    """Both ways on the same rows; prints a line for each."""
    ways: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        examples = Path(folder, "examples")
        in_own_process(write_examples, data, num_rows, unique, examples)
        for way in WAYS:
            output = Path(folder, way)
            output.mkdir()
            ways[way] = in_own_process(measure, way, examples, output)
            table.row(num_rows, unique, way, *ways[way].values())

    ratio = ways["tfx"]["cpu_seconds"] / ways["ours"]["cpu_seconds"]
    return {
        "rows": num_rows,
        "unique_tokens": unique,
        **ways,
        "cpu_ratio": round(ratio, 2),
        "same_ids": ways["tfx"]["ids"] == ways["ours"]["ids"],
    }


def main() -> None:
    arguments = parser(__doc__, dataset="agnews_small")
    arguments.add_argument("--rows", type=int, nargs="+", default=[40_000, 400_000])
    arguments.add_argument(
        "--unique", type=int, nargs="+", default=[0, 1], help="tokens of its own in every row"
    )
    given = arguments.parse_args()

    table = Table(
        ("rows", "9,"),
        ("unique", "7"),
        ("way", "<5"),
        ("CPU s", "8.1f"),
        ("wall s", "8.1f"),
        ("peak MB", "8"),
        ("ids", ""),
    )
    data = given.data / given.dataset / "train.jsonl"
    results = [
        compare(data, num_rows, unique, table) for unique in given.unique for num_rows in given.rows
    ]

    for result in results:
        same = "the same ids" if result["same_ids"] else "NOT the same ids"
        print(
            f"{result['rows']:,} rows, {result['unique_tokens']} unique tokens each: "
            f"{result['cpu_ratio']}x less CPU; {same}"
        )

    times, growth = given.rows[-1] / given.rows[0], {}
    for unique in given.unique:
        peaks = [row["ours"]["peak_mb"] for row in results if row["unique_tokens"] == unique]
        growth[unique] = round(peaks[-1] / peaks[0], 2)
        print(
            f"peak memory at {times:.0f} times the rows, {unique} unique tokens each: "
            f"{growth[unique]}x"
        )

    print_result({"results": results, "peak_growth": growth})


if __name__ == "__main__":
    main()
