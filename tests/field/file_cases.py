"""Which files are read, binary formats, and labels as users have them."""

import json
import os
import zlib
from pathlib import Path
from typing import Any

from tests.field.case import Case, csv, jsonl, rows
from tests.field.text_cases import LINES, PLAIN, written


def class_folders(folder: Path, name: str, num_rows: int = 120) -> str:
    """<class>/<number>, with `name` as the pattern of the number."""
    for number, (text, label) in enumerate(rows(num_rows)):
        written(f"c/{label}/{name.format(number)}", text, folder)
    return str(folder / "c")


def with_others(folder: Path) -> str:
    """Class folders whose other files are hidden, deeper or of another kind."""
    source = class_folders(folder, "{}.txt")
    for name in ("pos/.hidden.txt", "pos/notes.md", "pos/deeper/a.txt", "README.txt"):
        written(f"c/{name}", "not a row", folder)
    return source


def link_to_nowhere(folder: Path) -> str:
    written("p/a.jsonl", LINES, folder)
    os.symlink("nowhere.jsonl", folder / "p" / "b.jsonl")
    return f"{folder}/p/*.jsonl"


def link_to_the_parent(folder: Path) -> str:
    written("p/d/a.jsonl", LINES, folder)
    os.symlink("..", folder / "p" / "d" / "up")
    return f"{folder}/p/**/*.jsonl"


def latest_link(folder: Path) -> str:
    written("p/v2/a.jsonl", LINES, folder)
    os.symlink("v2", folder / "p" / "latest")
    return f"{folder}/p/*/*.jsonl"


def hard_link(folder: Path) -> str:
    os.link(written("p/a.jsonl", LINES, folder), folder / "p" / "b.jsonl")
    return f"{folder}/p/*.jsonl"


def copied(folder: Path) -> str:
    written("p/a.jsonl", LINES, folder)
    written("p/b.jsonl", LINES, folder)
    return f"{folder}/p/*.jsonl"


def parquet(folder: Path, name: str = "d.parquet", **columns: Any) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    made = rows()
    default = {"text": [text for text, _ in made], "label": [label for _, label in made]}
    pq.write_table(pa.table({**default, **columns}), path)
    return str(path)


def twice_named(folder: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, labels = ([row[place] for row in rows()] for place in (0, 1))
    table = pa.table([texts, texts, labels], names=["text", "text", "label"])
    pq.write_table(table, folder / "d.parquet")
    return str(folder / "d.parquet")


def structs(folder: Path) -> str:
    made = rows()
    return parquet(folder, review=[{"text": text, "stars": 1} for text, _ in made])


def views(folder: Path) -> str:
    """Strings of Arrow's view type; one is not UTF-8."""
    import pyarrow as pa

    texts = [text.encode() for text, _ in rows()]
    texts[7] = b"\xff\xfe not utf-8"
    return parquet(folder, text=pa.array(texts, pa.binary()).cast(pa.binary_view()))


def hive(folder: Path) -> str:
    """What Spark writes by partitionBy("label")."""
    for label in ("pos", "neg"):
        own = [f"text\n{text}\n" for text, each in rows() if each == label]
        content = "text\n" + "".join(text.removeprefix("text\n") for text in own)
        written(f"out/label={label}/part-00000.csv", content, folder)
    written("out/_SUCCESS", b"", folder)
    return str(folder / "out")


def spark_parts(folder: Path) -> str:
    made = rows()
    for number in range(3):
        written(f"out/part-0000{number}.json", jsonl(made[number::3]), folder)
        written(f"out/.part-0000{number}.json.crc", b"\0\1", folder)
    written("out/part-00003.json", b"", folder)
    written("out/_SUCCESS", b"", folder)
    return str(folder / "out")


def tf_records(folder: Path, kind: str, compress: bool = False) -> str:
    """tf.train.Examples or tf.train.SequenceExamples."""
    import tensorflow as tf

    def strings(value: str) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    path = str(folder / "d.tfrecord")
    options = tf.io.TFRecordOptions(compression_type="ZLIB" if compress else "")
    with tf.io.TFRecordWriter(path, options) as writer:
        for text, label in rows():
            if kind == "Example":
                own = tf.train.Features(feature={"text": strings(text), "label": strings(label)})
                record = tf.train.Example(features=own)
            else:
                words = tf.train.FeatureList(feature=[strings(word) for word in text.split()])
                record = tf.train.SequenceExample(
                    context=tf.train.Features(feature={"label": strings(label)}),
                    feature_lists=tf.train.FeatureLists(feature_list={"words": words}),
                )
            writer.write(record.SerializeToString())
    return path


def empty_tf_record(folder: Path) -> str:
    tf_records(folder, "Example")
    written("e.tfrecord", b"", folder)
    return f"{folder}/*.tfrecord"


def arrow_file(folder: Path) -> str:
    import pyarrow as pa

    table = pa.table({"text": [text for text, _ in rows()], "label": [n % 2 for n in range(120)]})
    path = folder / "d.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return str(path)


def hugging_face(folder: Path) -> str:
    """What `Dataset.save_to_disk` writes, with a ClassLabel."""
    import pyarrow as pa

    own = folder / "saved"
    own.mkdir()
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    }
    table = pa.table({"text": [text for text, _ in rows()], "label": [1, 0] * 60})
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(own / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (own / "dataset_info.json").write_text(json.dumps({"features": features}))
    state = {"_data_files": [{"filename": name}], "_indices_data_files": None, "_split": None}
    (own / "state.json").write_text(json.dumps(state))
    return str(own)


def zlib_whole(folder: Path) -> str:
    """A JSONL file in zlib's own framing, which no tool names by a suffix."""
    return written("d.jsonl", zlib.compress(LINES), folder)


def labelled(*labels: str, num_rows: int = 120) -> Any:
    """Makes a CSV file whose labels are these by turns."""
    return lambda folder: written("d.csv", csv(rows(num_rows, labels)), folder)


def json_labels(*labels: Any) -> Any:
    def make(folder: Path) -> str:
        lines = [
            json.dumps({"text": text, "label": labels[n % len(labels)]})
            for n, (text, _) in enumerate(rows())
        ]
        return written("d.jsonl", "\n".join(lines) + "\n", folder)

    return make


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
PERSIAN, FAMILY = (
    "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f468\u200d\U0001f469",
)

CASES: dict[str, Case] = {
    # Files left out, files read twice
    "a link to nowhere": Case(1, link_to_nowhere, num_rows=None, says=("b.jsonl",)),
    "class folders with other files": Case(1, with_others, says=("notes.md|4 files|other",)),
    "class folders, suffix in capitals": Case(1, lambda folder: class_folders(folder, "{}.TXT")),
    "class folders, no suffix": Case(17, lambda folder: class_folders(folder, "{}")),
    "a link to the parent": Case(2, link_to_the_parent),
    "latest -> v2": Case(2, latest_link),
    "a hard link": Case(2, hard_link),
    "every row twice": Case(2, copied, num_rows=240, says=("2 times|twice",)),
    "brackets in the path": Case(10, lambda folder: written("a[1]/b*.csv", PLAIN, folder)),
    # Labels
    "labels with a blank": Case(3, labelled("pos", "neg", "pos ", "neg")),
    "labels composed and decomposed": Case(
        3, labelled(COMPOSED, "tea", DECOMPOSED, "tea"), labels=(COMPOSED, "tea")
    ),
    "labels with a no-break space": Case(3, labelled("pos", "neg", "pos\u00a0", "\u3000neg")),
    "labels in two cases": Case(
        3, labelled("pos", "neg", "Pos", "neg"), labels=("pos", "Pos", "neg"), says=("'Pos'|Pos",)
    ),
    "Persian and emoji labels": Case(
        12, labelled(PERSIAN, FAMILY), labels=(PERSIAN, FAMILY), never="control character"
    ),
    "a label of Unicode 17": Case(12, labelled("\U0001fac8", "neg"), labels=("\U0001fac8", "neg")),
    "a label with a tab": Case(
        12, json_labels("a\tb", "neg"), num_rows=None, says=("control character",)
    ),
    "whole floats as labels": Case(17, json_labels(1.0, 0.0), labels=("1", "0")),
    "fractions as labels": Case(17, json_labels(0.5, 1.5), num_rows=None, says=("0.5",)),
    "labels that train lacks": Case(
        19,
        lambda folder: {
            "train": written("train.csv", csv(rows()), folder),
            "test": written("test.csv", csv(rows(40, ("pos", "neg", "new", "newer"), 200)), folder),
        },
        num_rows=140,
        says=("'new'.*'newer'|new.*newer",),
    ),
    # Binary formats
    "parquet, two columns of one name": Case(9, twice_named, num_rows=None, says=("text", "2|two")),
    "parquet, views": Case(9, views, num_rows=119, says=("1 bad row",)),
    "parquet, nested field": Case(17, structs, {"text": "review.text"}),
    "parquet, one shard empty": Case(
        16,
        lambda folder: (
            parquet(folder, "p/a.parquet")
            and parquet(folder, "p/b.parquet", text=[], label=[]).replace("b.parquet", "*.parquet")
        ),
    ),
    "tfrecord": Case(17, lambda folder: tf_records(folder, "Example")),
    "tfrecord, zlib": Case(17, lambda folder: tf_records(folder, "Example", compress=True)),
    "tfrecord, one shard empty": Case(16, empty_tf_record),
    "tfrecord, SequenceExample": Case(
        17,
        lambda folder: tf_records(folder, "SequenceExample"),
        {"content": "tokens", "text": "words"},
    ),
    "arrow stream": Case(17, arrow_file, labels=("0", "1")),
    "Hugging Face, saved to disk": Case(17, hugging_face),
    "hive partitions": Case(17, hive),
    "a folder of parts": Case(17, spark_parts, says=("empty",)),
    "jsonl in zlib": Case(17, zlib_whole, num_rows=None, says=("d.jsonl",)),
}
