"""Configurations: files, settings, the environment, and what errors say about them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import pytest
from pydantic import BaseModel

from components.example_gen import ExampleGenParams
from components.pusher import PusherParams
from components.trainer import TrainerParams
from components.trainer.params import BLOG_POST
from pipeline.api.prepare import prepare
from pipeline.cli import chosen
from pipeline.cli.chosen import Common
from pipeline.config import CONFIGS, Config, default_name, find, load
from seqline.errors import UserError
from seqline.storage.path import ObjectPath


@pytest.fixture
def toml(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text('[example_gen]\nsource = "rows.csv"\n')
    return str(path)


def test_shipped_bbc_news() -> None:
    config = load("bbc_news")
    assert config.example_gen == ExampleGenParams(source="tfds:seqline_bbc_news")
    assert config.evaluator.min_accuracy == 0.9
    assert config.root == "artifacts"
    assert config.trainer == TrainerParams()
    assert config.pusher == PusherParams().with_name("bbc_news")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_what_ships_loads_by_name_and_by_path(path: Path) -> None:
    assert load(path.stem) == load(str(path))


def test_a_file_comes_before_a_configuration_that_ships(
    toml: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(toml).parent)
    Path(toml).rename("bbc_news")
    assert find("bbc_news") == Path("bbc_news")


@pytest.mark.parametrize(
    ("setting", "section", "field", "value"),
    [
        ("trainer.rnn_units=128", "trainer", "rnn_units", 128),
        ("trainer.learning_rate=1e-4", "trainer", "learning_rate", 0.0001),
        ("trainer.clip_norm=2", "trainer", "clip_norm", 2.0),
        ("trainer.bidirectional=true", "trainer", "bidirectional", True),
        ("trainer.pooling=mean", "trainer", "pooling", "mean"),
        ("trainer.pooling='mean'", "trainer", "pooling", "mean"),
        ("example_gen.text=the text", "example_gen", "text", "the text"),
        ("example_gen.text=a=b", "example_gen", "text", "a=b"),
        ("example_gen.delimiter=;", "example_gen", "delimiter", ";"),
        ('example_gen.delimiter="\\t"', "example_gen", "delimiter", "\t"),
        ("example_gen.source=tfds:imdb_reviews", "example_gen", "source", "tfds:imdb_reviews"),
        ("evaluator.max_cross_entropy=0.5", "evaluator", "max_cross_entropy", 0.5),
    ],
)
def test_set_takes_toml_and_strings_without_quotes(
    toml: str, setting: str, section: str, field: str, value: object
) -> None:
    loaded = getattr(getattr(load(toml, [setting]), section), field)
    assert (loaded, type(loaded)) == (value, type(value))


def test_set_of_a_nested_table(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[example_gen.source]\ntrain = 'old.csv'\n")
    settings = ["example_gen.source.train=new.csv", "example_gen.source.test=test.csv"]
    assert load(str(path), settings).example_gen.source == {"train": "new.csv", "test": "test.csv"}


def test_the_last_of_two_settings_counts(toml: str) -> None:
    assert load(toml, ["trainer.rnn_units=1", "trainer.rnn_units=2"]).trainer.rnn_units == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "trainer.rnn_unit=8",
            "--set trainer.rnn_unit is not a known name. Did you mean 'rnn_units'?",
        ),
        ("trainr.rnn_units=8", "trainr is not a known name. Did you mean 'trainer'?"),
        (
            "trainer.zzz=8",
            "--set trainer.zzz is not a known name. Known are pooling, embedding_dim, ",
        ),
        (
            "trainer.rnn_units=many",
            "--set trainer.rnn_units: input should be a valid integer, not 'many'.",
        ),
        (
            "trainer.rnn_units=8.0",
            "--set trainer.rnn_units: input should be a valid integer, not 8.0.",
        ),
        (
            "trainer.rnn_units=true",
            "--set trainer.rnn_units: input should be a valid integer, not True.",
        ),
        (
            "trainer.bidirectional=1",
            "--set trainer.bidirectional: input should be a valid boolean, not 1.",
        ),
        (
            "trainer.pooling=man",
            (
                "--set trainer.pooling: input should be 'last', 'mean', 'max' or 'mean_max', not"
                " 'man'."
            ),
        ),
        (
            "evaluator.min_accuracy=2",
            "--set evaluator.min_accuracy: input should be less than or equal to 1, not 2.",
        ),
        ("evaluator.min_accuracy=nan", "--set evaluator.min_accuracy: input should be "),
        ("trainer.learning_rate=inf", "--set trainer.learning_rate: input should be "),
        ("trainer.dropout=1", "--set trainer.dropout: input should be less than 1, not 1."),
        (
            "example_gen.delimiter=::",
            "--set example_gen.delimiter: string should have at most 1 character, not '::'.",
        ),
        ("example_gen.source=3", "--set example_gen.source: "),
        (
            "example_gen.source.train=x.csv",
            "--set 'example_gen.source.train=x.csv': source is a value, not a table.",
        ),
        ("trainer=8", "--set trainer: input should be a valid dictionary"),
        (
            "trainer.rnn_units",
            "--set 'trainer.rnn_units' is not name=value, such as trainer.rnn_units=128.",
        ),
        ("=8", "--set '=8' is not name=value"),
        (
            "example_gen.eval_fraction=0.8",
            "eval_fraction 0.8 and test_fraction 0.2 leave no row for train; lower one of them.",
        ),
    ],
)
def test_a_setting_that_is_not_allowed_says_what_is(toml: str, setting: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        load(toml, [setting])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_source_of_a_wrong_type_is_one_error(toml: str) -> None:
    with pytest.raises(UserError) as raised:
        load(toml, ["example_gen.source=3"])
    assert "source.str" not in str(raised.value)
    assert str(raised.value).count("example_gen.source") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[example_gen\n", r"mine\.toml is not TOML: .*line 1"),
        (b"root = '\xff'\n", r"mine\.toml is not TOML"),
        (b"", r"mine\.toml: example_gen is missing\.$"),
        (b"[example_gen]\ntext = 'body'\n", r"mine\.toml: example_gen\.source is missing\.$"),
        (
            b"[example_gen]\nsource = 'a.csv'\ntxt = 'body'\n",
            r"mine\.toml: example_gen\.txt is not a known name\. Did you mean 'text'\?$",
        ),
        (
            b"[exmple_gen]\nsource = 'a.csv'\n",
            r"mine\.toml: exmple_gen is not a known name\. Did you mean 'example_gen'\?",
        ),
        (
            b"[evaluator]\nmin_accuracy = 2\n[example_gen]\nsource = 'a'\n",
            r"mine\.toml: evaluator\.min_accuracy: .*equal to 1, not 2\.$",
        ),
        (
            b"[trainer]\nembeddings = 'v.txt'\n"
            b"[example_gen]\nsource = 'a.csv'\ncontent = 'sequence'\n",
            r"mine\.toml: trainer\.embeddings 'v\.txt' is about tokens, and example_gen\.content =",
        ),
        (
            b"[transform]\nngrams = 0\n[example_gen]\nsource = 'a.csv'\n",
            r"mine\.toml: transform\.ngrams 0 leaves trainer\.wide true no n-grams: leave .* out,"
            r" or set trainer\.wide to false\.$",
        ),
    ],
)
def test_a_file_that_is_not_allowed_is_named(toml: str, content: bytes, message: str) -> None:
    Path(toml).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(toml)


@pytest.mark.parametrize("setting", ["trainer.wide=false", "example_gen.content=sequence"])
def test_no_ngrams_are_needed_without_a_wide_part(toml: str, setting: str) -> None:
    Path(toml).write_bytes(b"[example_gen]\nsource = 'a.csv'\n")
    assert load(toml, ["transform.ngrams=0", setting]).transform.ngrams == 0


def test_every_error_is_told_at_once(toml: str) -> None:
    with pytest.raises(UserError, match=r"rnn_unit is not .*; --set evaluator\.min_accuracy: "):
        load(toml, ["trainer.rnn_unit=1", "evaluator.min_accuracy=2"])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("bbc_nws", "'bbc_nws'"),
        ("gone/mine.toml", "'gone/mine.toml'"),
        ("", "''"),
        pytest.param("x" * 300, r"'x{119}\.\.\. \(302 characters\)", id="long"),
    ],
)
def test_no_such_configuration(name: str, shown: str) -> None:
    with pytest.raises(
        UserError,
        match=rf"There is no configuration {shown}: no such file, and those that ship are bbc_news",
    ):
        load(name)


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, bool]]:
    for name, field in model.model_fields.items():
        nested = [
            type_
            for type_ in (field.annotation, *get_args(field.annotation))
            if isinstance(type_, type) and issubclass(type_, BaseModel)
        ]
        if nested:
            yield from fields_of(nested[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", bool(field.description)


def test_every_field_has_a_description() -> None:
    fields = dict(fields_of(Config))
    assert len(fields) > 40
    assert [name for name, described in fields.items() if not described] == []


def test_pooling_last_means_the_blog_post_model(toml: str) -> None:
    trainer = load(toml, ["trainer.pooling=last"]).trainer
    assert {name: getattr(trainer, name) for name in BLOG_POST} == BLOG_POST
    assert (trainer.masking, trainer.skip_dim, trainer.learning_rate, trainer.schedule) == (
        False,
        0,
        0.001,
        "constant",
    )


def test_a_setting_beside_pooling_last_stays(toml: str) -> None:
    trainer = load(
        toml, ["trainer.dropout=0.3", "trainer.pooling=last", "trainer.masking=true"]
    ).trainer
    assert (trainer.dropout, trainer.masking, trainer.skip_dim) == (0.3, True, 0)
    assert load(toml, ["trainer.pooling=mean"]).trainer.dropout == 0.3


def test_key_fields_leave_places_out() -> None:
    here = ExampleGenParams(source="a.csv", data_dir="here")
    assert (
        here.key_fields()
        == ExampleGenParams(source={"train": "b.csv"}, data_dir="there").key_fields()
    )
    assert set(ExampleGenParams.model_fields) - set(here.key_fields()) == {
        "source",
        "data_dir",
        "span",
        "window",
        "skip",
    }
    assert PusherParams(serving_dir="here").key_fields() == {
        "label": "stable",
        "model_name": None,
        "served_from": None,
    }

    where = {
        "checkpoint_seconds",
        "checkpoint_steps",
        "devices",
        "worker_wait_seconds",
        "profile_steps",
        "warm_start",
        "embeddings",
    }
    assert TrainerParams().key_fields() == TrainerParams().model_dump(exclude=where)


def test_key_fields_are_json() -> None:
    config = load("bbc_news")
    for name in type(config).model_fields:
        if name not in ("name", "root"):
            fields = getattr(config, name).key_fields()
            assert json.loads(json.dumps(fields)) == fields


def test_flags_of_places_take_any_path(tmp_path: Path) -> None:
    places = [
        str(tmp_path / f'{name} #%41{{a,b}} "quoted" \U0001f600 \u00fc')
        for name in ("root", "served", "data")
    ]
    root, serving_dir, data_dir = places
    common = Common("bbc_news", root=root, serving_dir=serving_dir, data_dir=data_dir)
    loaded = chosen.read(common, "run")
    assert [loaded.root, loaded.pusher.serving_dir, loaded.example_gen.data_dir] == places
    assert prepare(loaded).store.root == Path(places[0])


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "a\\b", "a\udcff"])
def test_places_that_tensorflow_cannot_open_are_refused(
    toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for setting in ("root", "pusher.serving_dir"):
        with pytest.raises(UserError, match=r"TensorFlow takes .*; name another folder") as raised:
            load(toml, places={setting: name})
        assert f"{setting} {name!r}: " in str(raised.value)

    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)  # The whole path counts.
    with pytest.raises(UserError, match=r"root 'artifacts': TensorFlow takes "):
        load(toml)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("reviews.toml", "reviews"),
        ("my reviews (2).toml", "my-reviews-2"),
        (".hidden.toml", "hidden"),
        ("日本.toml", "model"),
    ],
)
def test_a_model_has_the_name_of_its_configuration_file(
    tmp_path: Path, file: str, name: str
) -> None:
    (tmp_path / file).write_text('[example_gen]\nsource = "a.csv"\n')
    assert load(str(tmp_path / file)).name == name
    assert load(str(tmp_path / file), ["name=other"]).name == "other"
    with pytest.raises(UserError, match=r"--set name: string should match pattern .*, not 'a/b'"):
        load(str(tmp_path / file), ["name=a/b"])


def test_a_configuration_in_a_bucket_gives_its_name_too() -> None:
    assert (
        default_name(cast(Path, ObjectPath("gs://bucket/configs/my reviews.toml"))) == "my-reviews"
    )


@pytest.mark.parametrize(
    "setting", ["root", "pusher.serving_dir", "example_gen.data_dir", "trainer.warm_start"]
)
def test_a_scheme_that_is_none_of_an_object_store_is_refused(setting: str) -> None:
    message = rf"{setting} 'abfs://a/b' is under abfs://, which cannot be reached: name a folder"
    with pytest.raises(UserError, match=message):
        load("bbc_news", [f'{setting}="abfs://a/b"'])
    with pytest.raises(UserError, match=r"'S3://a/b\.toml' is under S3://, which cannot"):
        load("S3://a/b.toml")
