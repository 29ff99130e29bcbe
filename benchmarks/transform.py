"""CPU of the shard-wise transform against TFX's way with the same libraries: RecordBatches, compute_and_apply_vocabulary.

    python benchmarks/transform.py --data ../shared/data/agnews_small/train.jsonl [--rows 100000]

Both read the same Examples, tokenise with the same graph and write tf.Examples; the ids are compared by a digest that does
not depend on the order of rows. Each runs in a process of its own; imports do not count. The last line is one JSON object.
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


def write_examples(data: Path, num_rows: int, output: Path) -> None:
    """The rows of a JSONL file, repeated, as Examples in four shards."""
    import tensorflow as tf

    from components import features
    from components.example_gen.ingest import serialize
    from components.example_gen.rows import Row

    with data.open(newline="\n", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    serialized = [serialize(Row(row["text"], row["label"], "", 0)) for row in rows]
    for shard in range(4):
        path = features.shard_path(output, features.TRAIN, shard, 4)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for number in range(shard, num_rows, 4):
                writer.write(serialized[number % len(serialized)])


def ours(examples: Path, output: Path) -> None:
    from components.transform import TransformParams, run

    run(examples=examples, params=TransformParams(vocab_size=VOCAB_SIZE, max_length=MAX_LENGTH, min_frequency=1), output=output)


def tfx_way(examples: Path, output: Path) -> None:
    import apache_beam as beam
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import schema_utils
    from tfx_bsl.coders import example_coder
    from tfx_bsl.public import tfxio

    from components import features
    from components.beam import pipeline_options
    from components.transform.text import normalize, tokenize
    from components.transform.vocabulary import RAW_FEATURES

    def preprocessing_fn(inputs):
        tokens = tokenize(normalize(inputs[features.TEXT]), "word")
        ids = tft.compute_and_apply_vocabulary(tokens, top_k=VOCAB_SIZE, num_oov_buckets=1, vocab_filename="tokens")
        ids = ids[:, :MAX_LENGTH]
        label = tft.compute_and_apply_vocabulary(inputs[features.LABEL], vocab_filename="labels")
        return {features.IDS: (ids + 1).to_sparse(), features.LENGTH: ids.row_lengths(), features.LABEL: label}

    source = tfxio.TFExampleRecord(
        str(examples / "Split-train" / "*.gz"), schema=schema_utils.schema_from_feature_spec(RAW_FEATURES), telemetry_descriptors=["b"]
    )
    with beam.Pipeline(options=pipeline_options([])) as pipeline, tft_beam.Context(temp_dir=str(output / "temp")):
        raw = pipeline | source.BeamSource()
        (transformed, _), _ = (raw, source.TensorAdapterConfig()) | tft_beam.AnalyzeAndTransformDataset(
            preprocessing_fn, output_record_batches=True
        )
        _ = (
            transformed
            | beam.FlatMapTuple(lambda batch, _: example_coder.RecordBatchToExamplesEncoder().encode(batch))
            | beam.io.WriteToTFRecord(str(output / "Split-train" / "data_tfrecord"), file_name_suffix=".gz")
        )


def checksum(output: Path) -> str:
    """A sum over the rows' digests of their ids."""
    import tensorflow as tf

    total = 0
    for path in glob.glob(str(output / "Split-train" / "*.gz")):
        for batch in tf.data.TFRecordDataset(path, compression_type="GZIP").batch(4096):
            for ids in tf.io.parse_example(batch, {"ids": tf.io.RaggedFeature(tf.int64)})["ids"].to_list():
                total += int.from_bytes(hashlib.blake2b(repr(ids).encode(), digest_size=8).digest(), "big")
    return f"{total % 2**64:016x}"


def measure(way: str, examples: Path, output: Path) -> None:
    import tfx_bsl.public.tfxio  # noqa: F401

    start, cpu = time.monotonic(), sum(os.times()[:4])
    {"ours": ours, "tfx": tfx_way}[way](examples, output)
    figures = {"cpu_seconds": sum(os.times()[:4]) - cpu, "wall_seconds": time.monotonic() - start}
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({**figures, "ids": checksum(output)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/agnews_small/train.jsonl"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--measure", nargs=3, metavar=("WAY", "EXAMPLES", "OUTPUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, examples, output = arguments.measure
        measure(way, Path(examples), Path(output))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        write_examples(arguments.data, arguments.rows, Path(folder) / "examples")
        print(f"{'way':<6} {'CPU s':>8} {'wall s':>8} {'peak MB':>8}  ids")
        for way in ("tfx", "ours"):
            output = Path(folder) / way
            output.mkdir()
            command = [sys.executable, __file__, "--measure", way, str(Path(folder) / "examples"), str(output)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[way] = row = json.loads(done.stdout.splitlines()[-1])
            print(f"{way:<6} {row['cpu_seconds']:>8.1f} {row['wall_seconds']:>8.1f} {row['peak_mb']:>8}  {row['ids']}", flush=True)
    ratio = results["tfx"]["cpu_seconds"] / results["ours"]["cpu_seconds"]
    same = results["tfx"]["ids"] == results["ours"]["ids"]
    print(f"{ratio:.1f}x less CPU; {'the same ids' if same else 'NOT the same ids'}")
    print(json.dumps({"rows": arguments.rows, "cpu_ratio": round(ratio, 2), "same_ids": same, **results}))


if __name__ == "__main__":
    main()
