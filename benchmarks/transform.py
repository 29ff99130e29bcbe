"""CPU and memory of transform against TFX's way with the same libraries.

RecordBatches, compute_and_apply_vocabulary.

    python benchmarks/transform.py [--data ../shared/data/agnews_small/train.jsonl] [--rows 40000
    400000]

The rows of a JSONL file, repeated, are written as Examples; then once more with a token of its own
in every row (`--unique`), so that the vocabulary grows with the data. Both ways read the same
Examples, tokenise with the same ops and write tf.Examples; the ids are compared by a digest that
does not depend on the order of rows. Each runs in a process of its own; imports do not count. The
last line is one JSON object.
"""

import argparse
import glob
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VOCAB_SIZE, MAX_LENGTH = 20_000, 256


def write_examples(data: Path, num_rows: int, unique: int, output: Path) -> None:
    """The rows of a JSONL file, repeated, in shards as example_gen bounds them, each with `unique`
    tokens that no other has.
    """
    from seqline.data import examples, features

    with data.open(newline="\n", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    own = [
        "".join(f" u{number * unique + token:x}" for token in range(unique))
        for number in range(num_rows)
    ]
    texts = [rows[number % len(rows)]["text"] + own[number] for number in range(num_rows)]
    per_shard = examples.SHARD_BYTES * len(texts) // sum(len(text.encode()) + 64 for text in texts)
    (output / f"Split-{features.TRAIN}").mkdir(parents=True)
    for part, start in enumerate(range(0, num_rows, per_shard)):
        numbers = range(start, min(start + per_shard, num_rows))
        shard = examples.ExampleShard(
            *(0, features.TRAIN, examples.shard_name(0, 0, part)),
            *(
                [texts[number].encode() for number in numbers],
                [rows[number % len(rows)]["label"].encode() for number in numbers],
            ),
        )
        examples.write(shard, output / f"Split-{features.TRAIN}" / shard.name, "text")
    counts = {features.TRAIN: dict.fromkeys(sorted({row["label"] for row in rows}), 1)}
    examples.write_manifest(
        examples.Manifest("text", None, (examples.Span(0, "all", num_rows=counts),)), output
    )


def ours(examples: Path, output: Path) -> None:
    from components.transform import TransformParams, run

    run(
        examples=examples,
        params=TransformParams(vocab_size=VOCAB_SIZE, max_length=MAX_LENGTH, min_frequency=1),
        output=output,
    )


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

    source = tfxio.TFExampleRecord(
        str(examples / "Split-train" / "*.gz"),
        schema=schema_utils.schema_from_feature_spec(raw_features("text")),
        telemetry_descriptors=["b"],
    )
    with (
        beam.Pipeline(options=pipeline_options([])) as pipeline,
        tft_beam.Context(temp_dir=str(output / "temp")),
    ):
        raw = pipeline | source.BeamSource()
        (transformed, _), _ = (
            raw,
            source.TensorAdapterConfig(),
        ) | tft_beam.AnalyzeAndTransformDataset(preprocessing_fn, output_record_batches=True)
        _ = (
            transformed
            | beam.FlatMapTuple(
                lambda batch, _: example_coder.RecordBatchToExamplesEncoder().encode(batch)
            )
            | beam.io.WriteToTFRecord(
                str(output / "Split-train" / "data_tfrecord"), file_name_suffix=".gz"
            )
        )


def checksum(output: Path) -> str:
    """A sum over the rows' digests of their ids."""
    import tensorflow as tf

    total = 0
    for path in glob.glob(str(output / "Split-train" / "*.gz")):
        for batch in tf.data.TFRecordDataset(path, compression_type="GZIP").batch(4096):
            for ids in tf.io.parse_example(batch, {"ids": tf.io.RaggedFeature(tf.int64)})[
                "ids"
            ].to_list():
                total += int.from_bytes(
                    hashlib.blake2b(repr(ids).encode(), digest_size=8).digest(), "big"
                )
    return f"{total % 2**64:016x}"


def measure(way: str, examples: Path, output: Path) -> None:
    import tfx_bsl.public.tfxio  # noqa: F401

    start, cpu = time.monotonic(), sum(os.times()[:4])
    {"ours": ours, "tfx": tfx_way}[way](examples, output)
    figures = {"cpu_seconds": sum(os.times()[:4]) - cpu, "wall_seconds": time.monotonic() - start}
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({**figures, "ids": checksum(output)}))


def compare(data: Path, num_rows: int, unique: int) -> dict[str, object]:
    """Both ways on the same rows; prints a line for each."""
    results: dict[str, object] = {"rows": num_rows, "unique_tokens": unique}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable,
                __file__,
                "--write",
                str(data),
                str(num_rows),
                str(unique),
                f"{folder}/examples",
            ],
            check=True,
        )
        for way in ("tfx", "ours"):
            output = Path(folder) / way
            output.mkdir()
            command = [
                sys.executable,
                __file__,
                "--measure",
                way,
                f"{folder}/examples",
                str(output),
            ]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[way] = row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{num_rows:>9,} {unique:>7} {way:<5} {row['cpu_seconds']:>8.1f}"
                f" {row['wall_seconds']:>8.1f} {row['peak_mb']:>8}  {row['ids']}",
                flush=True,
            )
    tfx, ours = results["tfx"], results["ours"]
    assert isinstance(tfx, dict)
    assert isinstance(ours, dict)
    return {
        **results,
        "cpu_ratio": round(tfx["cpu_seconds"] / ours["cpu_seconds"], 2),
        "same_ids": tfx["ids"] == ours["ids"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/agnews_small/train.jsonl")
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[40_000, 400_000])
    parser.add_argument(
        "--unique", type=int, nargs="+", default=[0, 1], help="tokens of its own in every row"
    )
    parser.add_argument(
        "--measure", nargs=3, metavar=("WAY", "EXAMPLES", "OUTPUT"), help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--write", nargs=4, metavar=("DATA", "ROWS", "UNIQUE", "OUTPUT"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.measure:
        way, examples, output = arguments.measure
        measure(way, Path(examples), Path(output))
        return
    if arguments.write:
        data, num_rows, unique, output = arguments.write
        write_examples(Path(data), int(num_rows), int(unique), Path(output))
        return
    print(f"{'rows':>9} {'unique':>7} {'way':<5} {'CPU s':>8} {'wall s':>8} {'peak MB':>8}  ids")
    results = [
        compare(arguments.data, num_rows, unique)
        for unique in arguments.unique
        for num_rows in arguments.rows
    ]
    for result in results:
        same = "the same ids" if result["same_ids"] else "NOT the same ids"
        print(
            f"{result['rows']:,} rows, {result['unique_tokens']} unique tokens each:"
            f" {result['cpu_ratio']}x less CPU; {same}"
        )
    growth = {}
    for unique in arguments.unique:
        peaks: list[dict] = [
            result["ours"] for result in results if result["unique_tokens"] == unique
        ]  # type: ignore[misc]
        growth[unique] = round(peaks[-1]["peak_mb"] / peaks[0]["peak_mb"], 2)
        times = arguments.rows[-1] / arguments.rows[0]
        print(
            f"peak memory at {times:.0f} times the rows, {unique} unique tokens each:"
            f" {growth[unique]}x"
        )
    print(json.dumps({"results": results, "peak_growth": growth}))


if __name__ == "__main__":
    main()
