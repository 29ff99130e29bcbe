"""`seqline init` finds contents, labels, splits and weights, also within and around the files."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather

from seqline.errors import UserError
from tests.pipeline.init.support import init, rows, write_csv
from tests.support.hugging_face import save_dataset, save_dict
from tests.support.source_files import write_parquet


def test_a_title_a_split_and_a_weight(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["title", "body", "label", "fold", "sample_weight"],
        [
            (f"Title {place} of it", text, label, ["Train", "val", "test"][place % 3], place / 10)
            for place, (text, label) in enumerate(rows())
        ],
    )
    assert init("a.csv")["example_gen"] == {
        "source": "a.csv",
        "text": "body",
        "label": "label",
        "split": "fold",
    }
    text = Path("my.toml").read_text()
    assert 'such as:\n# text = ["title", "body"]\ntext = "body"\n' in text
    assert 'To use it:\n# weight = "sample_weight"\n' in text


def test_negative_numbers_are_no_weights(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["text", "label", "weight"],
        [(text, label, -place) for place, (text, label) in enumerate(rows())],
    )
    init("a.csv")
    assert "weight" not in Path("my.toml").read_text()


def test_fields_of_objects(tmp_path: Path) -> None:
    lines = [
        json.dumps({"review": {"text": text, "by": {"id": number}}, "meta": {"stars": label}})
        for number, (text, label) in enumerate(rows())
    ]
    (tmp_path / "a.ndjson").write_text("\n".join(lines))
    assert init("a.ndjson")["example_gen"] == {
        "source": "a.ndjson",
        "text": "review.text",
        "label": "meta.stars",
    }


def test_structs_of_parquet_and_whole_floats_as_labels(tmp_path: Path) -> None:
    labels = [None, *(float(number % 3) for number in range(1, 60))]
    reviews = [{"body": text, "length": len(text)} for text, _ in rows()]
    write_parquet(tmp_path / "a.parquet", {"review": reviews, "label": labels})
    assert init("a.parquet")["example_gen"] == {
        "source": "a.parquet",
        "text": "review.body",
        "label": "label",
    }
    text = Path("my.toml").read_text()
    assert '# The column with the label: 3 classes: "1" 20, "2" 20, "0" 19.\n' in text
    assert "# Note: The labels are whole numbers that were written as floats: 1.0 is 1.\n" in text


def test_feather(tmp_path: Path) -> None:
    texts, labels = zip(*rows(), strict=True)
    feather.write_feather(pa.table({"comment": texts, "target": labels}), "a.feather")
    assert init("a.feather")["example_gen"] == {
        "source": "a.feather",
        "text": "comment",
        "label": "target",
    }


def test_data_sets_of_hugging_face(tmp_path: Path) -> None:
    content = [{"text": text, "label": int(label == "good")} for text, label in rows()]
    save_dataset(tmp_path / "one", content, ["bad", "good"])
    save_dict(tmp_path / "two", {"train": content[:40], "test": content[40:]}, ["bad", "good"])

    for name, counts in (("one", '"bad" 40, "good" 20'), ("two", '"bad" 26, "good" 14')):
        section = init(name, "--force")["example_gen"]
        assert section == {"source": name, "text": "text", "label": "label"}
        assert f": 2 classes: {counts}.\n" in Path("my.toml").read_text()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_partitions_and_parts(tmp_path: Path, suffix: str) -> None:
    for label in ("good", "bad"):
        folder = tmp_path / "tree" / f"stars={label}"
        folder.mkdir(parents=True)
        texts = [text for text, its in rows() if its == label]
        lines = ["review", *texts]
        if suffix == "jsonl":
            lines = [json.dumps({"review": text}) for text in texts]
        (folder / f"part-0.{suffix}").write_text("\n".join(lines) + "\n")
        (folder / f"part-1.{suffix}").touch()
    (tmp_path / "tree" / "_SUCCESS").touch()

    assert init("tree")["example_gen"] == {"source": "tree", "text": "review", "label": "stars"}
    assert '"bad" 40, "good" 20' in Path("my.toml").read_text()


def test_all_files_are_looked_into(tmp_path: Path) -> None:
    for label in "abcde":
        write_csv(
            tmp_path / f"{label}.csv",
            ["text", "label"],
            [(f"some words {number} " * 20, label) for number in range(30_000)],
        )
    assert init("*.csv")["evaluator"]["min_accuracy"] == 0.2


def test_labels_that_are_not_what_they_look_like(tmp_path: Path) -> None:
    labels = ["odd", *["Good", "good", "bad ", "bad"] * 15]
    write_csv(
        tmp_path / "a.csv",
        ["text", "label"],
        [(f"some words {place}", label) for place, label in enumerate(labels)],
    )
    init("a.csv")
    text = Path("my.toml").read_text().replace("\n# ", " ")
    assert '4 classes: "bad" 30, "Good" 15, "good" 15, "odd" 1.' in text
    assert (
        "Note: Labels that differ in how they are written are several classes: 'Good' 15 and 'good'"
        " 15."
    ) in text
    assert (
        "Note: 1 label is written with outer white space or in another Unicode form, such as"
        " 'bad ', which counts as 'bad'."
    ) in text
    assert "Note: 1 class has one row, which cannot be in train and in test: 'odd'." in text


def test_fields_of_objects_in_lists(tmp_path: Path) -> None:
    lines = [
        json.dumps({"messages": [{"content": text, "n": 1}], "tags": ["a", "b"], "label": label})
        for text, label in rows()
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert init("a.jsonl")["example_gen"] == {
        "source": "a.jsonl",
        "text": "messages.0.content",
        "label": "label",
    }


def test_blanks_around_names(tmp_path: Path) -> None:
    content = "".join(f"{text} , {label}\n" for text, label in rows())
    (tmp_path / "a.csv").write_text(f"text , label\n{content}")
    assert init("a.csv")["example_gen"] == {"source": "a.csv", "text": "text", "label": "label"}


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["text", "text", "label"],
        [(text, text, label) for text, label in rows()],
    )
    with pytest.raises(UserError) as raised:
        init("a.csv")
    assert str(raised.value).endswith(
        " It has 'label'. 2 columns are called 'text', so that none of them can be read: rename all"
        " but one."
    )
