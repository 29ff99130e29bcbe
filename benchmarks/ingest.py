"""CPU of example_gen on a CSV file, against the same work row by row on Beam.

    python -m benchmarks.ingest [--dataset agnews_small] [--rows 400000]

The peer works as TFX's CsvExampleGen does. Both read the same file, split its rows by a digest of
the text and write tf.Examples as gzipped TFRecords. The rows of every split are compared by a
digest that does not depend on their order. Each way runs in a process of its own; imports do not
count.
"""

import csv
import glob
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import Table, in_own_process, measured, parser, print_result, read_jsonl

FRACTIONS = {"train": 0.7, "eval": 0.1, "test": 0.2}


def write_csv(data: Path, num_rows: int, output: Path) -> None:
    """Writes the rows of a JSONL file, repeated.

    A text has no line end inside: the peer reads line by line.
    """
    rows = read_jsonl(data)
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

    splits = list(FRACTIONS)

    def parse(line):
        text, label = next(csv.reader([line]))
        return {"text": text, "label": label}

    def split_number(row, _):
        return splits.index(split_at(digest_of(row["text"].encode()), FRACTIONS))

    def to_example(row):
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
            for name, value in row.items()
        }
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        return example.SerializeToString(deterministic=True)

    with beam.Pipeline(options=pipeline_options([])) as pipeline:
        rows = (
            pipeline
            | beam.io.ReadFromText(str(source), skip_header_lines=1)
            | beam.Map(parse)
            | beam.Partition(split_number, len(splits))
        )
        for split, part in zip(splits, rows, strict=True):
            prefix = str(output / f"Split-{split}" / "data_tfrecord")
            _ = (
                part
                | f"Example[{split}]" >> beam.Map(to_example)
                | f"Write[{split}]" >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz")
            )


def checksum(output: Path) -> str:
    """A sum over the digests of the rows, for each split."""
    import tensorflow as tf

    sums = []
    for split in FRACTIONS:
        total = 0
        for path in glob.glob(str(output / f"Split-{split}" / "*.gz")):
            records = tf.data.TFRecordDataset(path, compression_type="GZIP")
            for record in records.as_numpy_iterator():
                total += int.from_bytes(hashlib.blake2b(record, digest_size=8).digest(), "big")
        sums.append(total % 2**64)
    return hashlib.blake2b(repr(sums).encode(), digest_size=8).hexdigest()


WAYS = {"beam": row_by_row, "ours": ours}


def measure(way: str, source: Path, output: Path) -> dict[str, Any]:
    import apache_beam
    import tensorflow

    import components.example_gen.ingest  # noqa: F401 - not part of what is measured

    del apache_beam, tensorflow
    _, figures = measured(WAYS[way], source, output)
    return {**figures, "rows": checksum(output)}


def main() -> None:
    arguments = parser(__doc__, dataset="agnews_small")
    arguments.add_argument("--rows", type=int, default=400_000)
    given = arguments.parse_args()

    table = Table(
        ("way", "<11"), ("CPU s", "8.1f"), ("wall s", "8.1f"), ("peak MB", "8"), ("rows", "")
    )

    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "rows.csv")
        write_csv(given.data / given.dataset / "train.jsonl", given.rows, source)
        for way in WAYS:
            output = Path(folder) / way
            output.mkdir()
            results[way] = in_own_process(measure, way, source, output)
            table.row(way, *results[way].values())

    ratio = results["beam"]["cpu_seconds"] / results["ours"]["cpu_seconds"]
    same = results["beam"]["rows"] == results["ours"]["rows"]
    print(f"{ratio:.1f}x less CPU; {'the same rows' if same else 'NOT the same rows'}")
    print_result(
        {"num_rows": given.rows, "cpu_ratio": round(ratio, 2), "same_rows": same, **results}
    )


if __name__ == "__main__":
    main()
