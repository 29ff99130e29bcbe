"""CPU of example_gen on a CSV file against the same work row by row on Beam, as TFX's CsvExampleGen
does it.

    python benchmarks/ingest.py [--data ../shared/data/agnews_small/train.jsonl] [--rows 400000]

Both read the same file, split its rows by a digest of the text and write tf.Examples as gzipped
TFRecords; the texts of every split are compared by a digest that does not depend on the order of
rows. Each runs in a process of its own; imports do not count. The last line is one JSON object.
"""

import argparse
import csv
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

FRACTIONS = {"train": 0.7, "eval": 0.1, "test": 0.2}


def write_csv(data: Path, num_rows: int, output: Path) -> None:
    """The rows of a JSONL file, repeated, without line ends inside (the peer reads line by line)."""
    with data.open(newline="\n", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        for number in range(num_rows):
            row = rows[number % len(rows)]
            writer.writerow([f"{number} " + " ".join(row["text"].split()), row["label"]])


def ours(source: Path, output: Path) -> None:
    from components.example_gen import ExampleGenParams, run

    run(params=ExampleGenParams(source=str(source)), output=output)


def row_by_row(source: Path, output: Path) -> None:
    """ReadFromText | parse | partition | tf.Example | WriteToTFRecord."""
    import apache_beam as beam
    import tensorflow as tf

    from components.example_gen.split_by_digest import digest_of, split_at
    from seqline.jobs.beam import pipeline_options

    names = list(FRACTIONS)

    def parse(line):
        text, label = next(csv.reader([line]))
        return {"text": text, "label": label}

    def to_example(row):
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
            for name, value in row.items()
        }
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
            deterministic=True
        )

    with beam.Pipeline(options=pipeline_options([])) as pipeline:
        parts = (
            pipeline
            | beam.io.ReadFromText(str(source), skip_header_lines=1)
            | beam.Map(parse)
            | beam.Partition(
                lambda row, _: names.index(split_at(digest_of(row["text"].encode()), FRACTIONS)),
                len(names),
            )
        )
        for name, part in zip(names, parts, strict=True):
            _ = (
                part
                | f"Example[{name}]" >> beam.Map(to_example)
                | f"Write[{name}]"
                >> beam.io.WriteToTFRecord(
                    str(output / f"Split-{name}" / "data_tfrecord"), file_name_suffix=".gz"
                )
            )


def checksum(output: Path) -> str:
    """A sum over the digests of the rows, for each split."""
    import tensorflow as tf

    sums = []
    for name in FRACTIONS:
        total = 0
        for path in glob.glob(str(output / f"Split-{name}" / "*.gz")):
            for record in tf.data.TFRecordDataset(
                path, compression_type="GZIP"
            ).as_numpy_iterator():
                total += int.from_bytes(hashlib.blake2b(record, digest_size=8).digest(), "big")
        sums.append(total % 2**64)
    return hashlib.blake2b(repr(sums).encode(), digest_size=8).hexdigest()


def measure(way: str, source: Path, output: Path) -> None:
    import apache_beam
    import tensorflow

    import components.example_gen.ingest  # noqa: F401

    del apache_beam, tensorflow
    start, cpu = time.monotonic(), sum(os.times()[:4])
    {"ours": ours, "beam": row_by_row}[way](source, output)
    figures = {"cpu_seconds": sum(os.times()[:4]) - cpu, "wall_seconds": time.monotonic() - start}
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({**figures, "rows": checksum(output)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/agnews_small/train.jsonl")
    )
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument(
        "--measure", nargs=3, metavar=("WAY", "SOURCE", "OUTPUT"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.measure:
        way, source, output = arguments.measure
        measure(way, Path(source), Path(output))
        return
    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "rows.csv")
        write_csv(arguments.data, arguments.rows, source)
        print(f"{'way':<11} {'CPU s':>8} {'wall s':>8} {'peak MB':>8}  rows")
        for way in ("beam", "ours"):
            output = Path(folder) / way
            output.mkdir()
            done = subprocess.run(
                [sys.executable, __file__, "--measure", way, str(source), str(output)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            results[way] = row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{way:<11} {row['cpu_seconds']:>8.1f} {row['wall_seconds']:>8.1f}"
                f" {row['peak_mb']:>8}  {row['rows']}",
                flush=True,
            )
    ratio = results["beam"]["cpu_seconds"] / results["ours"]["cpu_seconds"]
    same = results["beam"]["rows"] == results["ours"]["rows"]
    print(f"{ratio:.1f}x less CPU; {'the same rows' if same else 'NOT the same rows'}")
    print(
        json.dumps(
            {"num_rows": arguments.rows, "cpu_ratio": round(ratio, 2), "same_rows": same, **results}
        )
    )


if __name__ == "__main__":
    main()
