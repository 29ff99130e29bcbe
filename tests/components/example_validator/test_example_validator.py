"""The artifact, the gate, and real data."""

import json
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components import example_validator
from components.example_validator import ExampleValidatorParams, gate
from seqline.data.examples import Content
from seqline.errors import DataError, UserError
from tests.support import CHECKOUT
from tests.support.examples import write_spans
from tests.support.validated import Splits, chain, diff_of, good_rows

DATA = CHECKOUT.parent / "shared" / "data"


def test_schema_diffs_are_filled_in_as_tfdv_does(tmp_path: Path) -> None:
    good = good_rows()
    broken = good | {"eval": [*good["eval"], ("plum and more", "friut")], "test": []}
    with pytest.raises(DataError):
        chain(tmp_path, {1: broken})

    diff = diff_of(tmp_path, "eval")
    assert diff.baseline == text_format.Parse(
        (tmp_path / "schema" / "schema.pbtxt").read_text(), schema_pb2.Schema()
    )
    assert list(diff.anomaly_info) == ["label"]

    info = diff.anomaly_info["label"]
    assert info.severity == anomalies_pb2.AnomalyInfo.ERROR
    assert info.short_description == "Unknown label"
    assert list(info.path.step) == ["label"]
    assert [reason.type for reason in info.reason] == [
        anomalies_pb2.AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES
    ]
    assert info.description == info.reason[0].description
    assert "'friut' (1)" in info.description
    assert not diff.data_missing

    empty = diff_of(tmp_path, "test")
    assert (empty.data_missing, empty.dataset_anomaly_info.reason[0].type) == (
        True,
        anomalies_pb2.AnomalyInfo.DATASET_LOW_NUM_EXAMPLES,
    )
    assert not diff_of(tmp_path, "train").anomaly_info


def test_the_gate_quotes_the_first_errors_only(tmp_path: Path) -> None:
    first = {"split": "train", "feature": "text", "kind": "few_rows", "examples": []}
    anomalies = [
        *({**first, "severity": "error", "line": f"line {number}"} for number in range(25)),
        {**first, "severity": "warning", "line": "not this"},
    ]
    (tmp_path / "anomalies.json").write_text(json.dumps(anomalies))
    with pytest.raises(DataError) as error:
        gate(tmp_path, ExampleValidatorParams())
    assert str(error.value).startswith("line 0; line 1; ")
    assert str(error.value).endswith(f"line 19; and 5 more in {tmp_path / 'anomalies.json'}.")


def test_statistics_of_other_examples_are_refused(tmp_path: Path) -> None:
    chain(tmp_path, {1: good_rows()})
    other = write_spans(tmp_path / "other", {2: good_rows()})
    with pytest.raises(
        DataError, match=r"are not of the Examples .*other: run statistics_gen on them"
    ):
        example_validator.run(
            examples=other,
            statistics=tmp_path / "statistics",
            schema=tmp_path / "schema",
            params=ExampleValidatorParams(),
            output=tmp_path / "again",
        )


def test_damaged_statistics_are_refused(tmp_path: Path) -> None:
    chain(tmp_path, {1: good_rows(), 2: good_rows()})
    path = tmp_path / "statistics" / "statistics.json"
    good = json.loads(path.read_bytes())
    newest = good["newest"]
    for damage, problem in (
        ({"splits": {}}, "statistics.json is damaged (splits.train is missing)"),
        ({"spans": {"1": {}, "2": {}}}, "is damaged (spans.1.content: Field required)"),
        ({"newest": {**newest, "span": "2"}}, "is damaged (newest.span: Input should be a valid"),
        ({"newest": {**newest, "span": 1}}, "are not of the Examples"),
    ):
        path.write_text(json.dumps({**good, **damage}))
        with pytest.raises(UserError) as error:
            example_validator.run(
                examples=tmp_path / "examples",
                statistics=tmp_path / "statistics",
                schema=tmp_path / "schema",
                params=ExampleValidatorParams(),
                output=tmp_path / "again",
            )
        assert problem in str(error.value)


@pytest.mark.skipif(
    not DATA.is_dir(),
    reason="../shared/data, real data sets for tests and benchmarks, does not exist",
)
@pytest.mark.parametrize(
    "name", ["sms_spam", "mr", "trec6", "agnews_small", "surnames", "japanese_vowels"]
)
def test_real_data_have_no_anomaly(tmp_path: Path, name: str) -> None:
    content: Content = "sequence" if name == "japanese_vowels" else "text"
    splits: Splits = {"train": [], "eval": [], "test": []}
    for source in ("train", "test"):
        for line in (DATA / name / f"{source}.jsonl").read_bytes().splitlines():
            row = json.loads(line)
            chosen = source
            if (
                source == "train"
                and blake2b(json.dumps(row[content]).encode(), digest_size=1).digest()[0] < 26
            ):
                chosen = "eval"

            splits[chosen].append((row[content], row["label"]))

    assert (
        chain(tmp_path, {1: splits}, content, 12 if content == "sequence" else None)["lines"] == []
    )


def test_the_faces_import_nothing_heavy() -> None:
    code = (
        "import sys; from components import statistics_gen, schema_gen, example_validator;"
        " sys.exit(str([name for name in ('tensorflow', 'apache_beam', 'numpy', 'pyarrow',"
        " 'tensorflow_metadata') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
