"""The model card of a pushed version."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.pusher import PusherParams, card, card_metadata, publish, run, stale, versions
from components.pusher.card_markdown import by_owner
from seqline.data.blessing import InfraBlessing
from seqline.errors import UserError
from seqline.model import pushed
from seqline.model.digest import CARD, digest_of, sha256_of_files
from tests.support.evaluations import evaluation as four_rows

BLESSING = InfraBlessing(blessed=True, refusals=[], server="none", asked=False, digest="ab" * 32)
HOSTILE = "a|b`c`<script>alert(1)</script>\n---\n# x: \"y\" 'z' {*&!%@} \u2028\x85\x7f - é 🙂"


def written(folder: Path, params: PusherParams | None = None, **model: Any) -> str:
    """The card of a model with this model.json, evaluated on four rows."""
    (folder / "assets.extra").mkdir(parents=True, exist_ok=True)
    (folder / "assets.extra" / "model.json").write_text(json.dumps(model))
    return card.write(folder, four_rows(), BLESSING, params or PusherParams())


def parsed(text: str) -> Any:
    """The card as the hub's own library reads it."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    return hub.ModelCard(text)


def test_the_metadata_are_what_a_hub_reads(tmp_path: Path) -> None:
    params = PusherParams(
        license="Apache-2.0", language=("en", "pt-BR"), tags=("news", "yes"), dataset="reviews.csv"
    ).with_name("topics")
    text = written(tmp_path, params, content="text", sha256={"examples.json": "12" * 32})
    data = parsed(text).data
    assert (data.language, data.license, data.library_name, data.pipeline_tag, data.tags) == (
        ["en", "pt-BR"],
        "apache-2.0",
        "seqline",
        "text-classification",
        ["seqline", "tensorflow", "saved-model", "news", "yes"],
    )

    assert data.model_name == "topics"
    results = {result.metric_type: result for result in data.eval_results}
    assert {name: result.metric_value for name, result in results.items()} == {
        "accuracy": 0.75,
        "f1": 0.7,
        "roc_auc": 0.75,
        "cross_entropy": 0.5,
        "expected_calibration_error": 0.125,
    }
    first = results["accuracy"]
    assert (first.task_type, first.dataset_name, first.dataset_split, first.dataset_revision) == (
        "text-classification",
        "reviews.csv",
        "test",
        "12" * 32,
    )


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    data = parsed(written(tmp_path, content="sequence")).data
    assert (data.language, data.license, data.pipeline_tag) == (None, None, "other")
    assert data.eval_results[0].dataset_name == "model"


def test_texts_and_labels_break_neither_metadata_nor_tables(tmp_path: Path) -> None:
    params = PusherParams(
        license=HOSTILE,
        intended_use=HOSTILE,
        limitations=HOSTILE,
        contact=HOSTILE,
        dataset=HOSTILE,
        tags=(HOSTILE,),
    )
    plain, hostile = written(tmp_path, labels=["a", "b"]), written(tmp_path, params)
    model = parsed(hostile)
    assert model.data.license == "other"
    assert model.data.to_dict()["license_name"] == HOSTILE
    assert model.data.tags[3] == model.data.eval_results[0].dataset_name == HOSTILE
    assert "<script" not in model.text

    headings = [line for line in hostile.splitlines() if line.startswith("#")]
    assert headings == [line for line in plain.splitlines() if line.startswith("#")]
    assert hostile.splitlines().count("---") == 2

    evaluated = replace(four_rows(), classes={HOSTILE: {"f1": 0.5, "num_rows": 3}})
    body = card.write(tmp_path, evaluated, BLESSING, PusherParams())
    row = next(line for line in body.splitlines() if line.endswith("| 0.500 | - | 3 |"))
    assert row.startswith("| a\\|b\\`c\\`&lt;script&gt;")


def test_a_person_may_write_markdown_without_html() -> None:
    assert by_owner("Sorts **news**.\n\n- see https://a.b/c\n  # x\n\n---\n```\n| a |") == [
        "Sorts **news**.",
        "",
        "- see https://a.b/c",
        "  \\# x",
        "",
        "\\---",
        "\\```",
        "\\| a |",
    ]
    assert by_owner("<b>\x1b[31m") == ["&lt;b>\\x1b[31m"]
    assert by_owner(None) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("yes", '"yes"'),
        ("a: b # c", '"a: b # c"'),
        ("\u2028\x7f\x85\n", '"\\u2028\\u007f\\u0085\\n"'),
        ("é🙂", '"é🙂"'),
        (0.5, "0.5"),
        (True, "true"),
    ],
)
def test_scalars_of_yaml(value: Any, text: str) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    assert card_metadata.scalar(value) == text
    assert yaml.safe_load(text) == value


def test_the_names_of_the_data_have_no_folders() -> None:
    def named(source: Any, **params: Any) -> str | None:
        return PusherParams(**params).with_source(source).dataset

    assert named("/home/someone/reviews.csv") == "reviews.csv"
    assert named("gs://bucket/of/us/rows-{SPAN}.jsonl") == "rows-{SPAN}.jsonl"
    assert named("tfds:imdb_reviews") == "tfds:imdb_reviews"
    assert named({"train": "a/train.csv", "test": "a/test.csv"}) == "train.csv, test.csv"
    assert named("reviews.csv", dataset="Reviews of 2025") == "Reviews of 2025"
    assert named("") is None


def test_a_language_is_a_code() -> None:
    with pytest.raises(ValueError, match="'English' is no code of a language"):
        PusherParams(language=("English",))


def test_a_damaged_model_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.json is damaged \(examples\.num_read: "):
        written(tmp_path, examples={"num_read": "many"})


def test_many_classes_and_slices_are_cut(tmp_path: Path) -> None:
    classes = {f"c{number}": {"f1": 0.5, "num_rows": number} for number in range(60)}
    slices = [{"feature": "length", "value": str(n), "num_rows": n} for n in range(53)]
    evaluated = replace(four_rows(), classes=classes, slices=slices)
    text = card.write(tmp_path, evaluated, BLESSING, PusherParams())
    assert "| c9 |" not in text
    assert "| c10 | - | - | 0.500 | - | 10 |" in text
    assert "And 10 classes with fewer rows" in text
    assert "| length = 3 | 3 | - | - |" in text
    assert "And 3 slices with fewer rows" in text


def pushed_version(
    saved_model: Path, evaluation: Path, served: Path, output: Path, **params: Any
) -> Path:
    """A real model, pushed."""
    output.mkdir()
    infra = output / "infra"
    infra.mkdir()
    digest = digest_of(sha256_of_files(saved_model / "saved_model"))
    replace(BLESSING, digest=digest).write(infra / "blessing.json")
    figures = run(
        saved_model=saved_model,
        evaluation=evaluation,
        infra_blessing=infra,
        params=PusherParams(serving_dir=str(served), verify=False, **params).with_name("topics"),
        output=output,
    )
    return served / str(figures["version"])


def test_a_real_version_has_a_card(
    saved_model: Path, evaluation: Path, examples: Path, served: Path, tmp_path: Path
) -> None:
    version = pushed_version(saved_model, evaluation, served, tmp_path / "one")
    text = (version / CARD).read_text(encoding="utf-8")
    assert "Classifies texts into 3 classes: animals, fruit, metals." in text
    assert "| train | 163 | 3 |" in text
    assert "| animals | 1.000 | 1.000 | 1.000 | 54 | 18 |" in text
    assert "| `learning_rate` | 0.005 |" in text
    assert f"| `{sha256_of_files(version)['saved_model.pb']}`" not in text
    assert f"`{digest_of(sha256_of_files(version))}`" in text
    assert parsed(text).data.eval_results[0].metric_value == 1.0
    # Neither rows nor the places of this machine.
    assert "No. 164" not in text
    assert str(examples.parent) not in text

    # What it says to type works.
    code = text.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=version, capture_output=True, text=True, check=True
    )
    assert "tf.Tensor([b'" in done.stdout

    assert versions.damage_of(versions.place_of(served), 1) is None
    again = pushed_version(saved_model, evaluation, tmp_path / "again", tmp_path / "two")
    assert (again / CARD).read_bytes() == (version / CARD).read_bytes()
    (version / CARD).write_text(text + ".")
    assert str(pushed.damage_of(version)) == (
        "README.md is not what was pushed: its SHA-256 is another"
    )


def test_other_texts_are_another_version_of_the_same_model(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    def push(text: str | None) -> tuple[int, bool]:
        model, content = models("a"), f"card {text}".encode()
        figures = publish.push(model, served, evaluation=b"{}", card=content, card_texts=text)
        return figures["version"], figures["pushed"]

    assert [push(None), push(None), push("x"), push("x"), push(None)] == [
        (1, True),
        (1, False),
        (2, True),
        (2, False),
        (3, True),
    ]
    assert publish.push(models("b"), served, card=b"b", card_texts="x")["version"] == 4
    publish.rollback(served, 2)
    assert (served / "5" / CARD).read_bytes() == b"card x"
    assert versions.damage_of(versions.place_of(served), 5) is None
    assert push("x") == (5, False)


def test_a_push_is_stale_once_the_texts_change(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    plain = PusherParams(serving_dir=str(served))
    figures = publish.push(models("a"), served, card=b"card")
    (tmp_path / "push.json").write_text(json.dumps(figures))
    assert stale(tmp_path, plain) is None
    assert stale(tmp_path, plain.model_copy(update={"dataset": "moved.csv"})) is None
    licensed = plain.model_copy(update={"license": "mit"})
    assert stale(tmp_path, licensed) == f"the model card of {served}/1 has other texts"
    assert plain.key_fields() == licensed.key_fields()
