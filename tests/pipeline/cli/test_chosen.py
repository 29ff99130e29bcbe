"""Which configuration a command uses, and which values: flags, environment, file, defaults."""

from pathlib import Path
from typing import Any

import pytest

from pipeline import config as configuration
from pipeline.cli import chosen
from pipeline.cli.chosen import Common
from pipeline.report import records, reproduce
from seqline.errors import UserError
from tests.pipeline.cli.conftest import ROWS
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.records import run_record

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("command", ["run", "plan", "retrain"])
def test_no_sample_that_nobody_named(command: str, refused: Any) -> None:
    assert (
        refused(command)
        == f"seqline {command} needs a configuration, and there is no seqline.toml here: seqline"
        f" {command} my.toml. `seqline init DATA -o my.toml` writes one; `seqline run bbc_news`"
        " trains on the sample."
    )


def test_the_word_the_option_and_seqline_toml(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        chosen.choose(Common("my.toml"))
        == chosen.choose(Common(alias="my.toml"))
        == chosen.choose(Common("my.toml", "my.toml"))
        == "my.toml"
    )
    assert (
        refused("plan", "my.toml", "--config", "bbc_news")
        == "Two configurations are named, 'my.toml' and --config 'bbc_news': name one."
    )

    (tmp_path / "seqline.toml").write_text((tmp_path / "my.toml").read_text())
    assert chosen.choose(Common()) == "seqline.toml"

    monkeypatch.setenv("SEQLINE_CONFIG", "bbc_news")
    assert chosen.choose(Common()) == "bbc_news"
    assert chosen.choose(Common("my.toml")) == chosen.choose(Common(alias="my.toml")) == "my.toml"


@pytest.mark.parametrize(
    ("name", "is_data"),
    [
        *[
            (name, False)
            for name in ("my.toml", "bbc_news", "gs://b/my.toml", "configs/a.toml", "reviews")
        ],
        *[
            (name, True)
            for name in (
                "a.csv",
                "a.tsv.gz",
                "b/a.jsonl",
                "gs://b/a.parquet",
                "x/*.csv",
                "d/{SPAN}/a.csv",
                "tfds:imdb_reviews",
            )
        ],
        *[(name, True) for name in ("a.tfrecord", "data_tfrecord-00000-of-00002.gz", "folder")],
    ],
)
def test_configurations_and_data(name: str, is_data: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert chosen.is_data(name) == is_data


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["plan", "reviews.csv"],
            (
                "reviews.csv has no column 'text' and none 'label'; it has 'review', 'stars'. Say"
                " which ones they are, such as: seqline plan reviews.csv --text review --label"
                " stars"
            ),
        ),
        (
            ["run", "reviews.csv", "--text", "review"],
            (
                "reviews.csv has no column 'label'; it has 'review', 'stars'. Say which ones they"
                " are, such as: seqline run reviews.csv --text review --label stars"
            ),
        ),
        (
            ["plan", "reviews.csv", "--text", "revue"],
            (
                "text 'revue': reviews.csv has no such column; it has 'review', 'stars'. Did you"
                " mean 'review'?"
            ),
        ),
        (
            ["plan", "my.toml", "--label", "star"],
            (
                "reviews.csv has no column 'star' (example_gen.label); it has 'review', 'stars'."
                " Did you mean 'stars'? Set example_gen.label to one of them."
            ),
        ),
        (
            ["retrain", "reviews.csv"],
            (
                "seqline retrain needs a configuration, and reviews.csv is data: seqline init"
                " reviews.csv -o reviews.toml, then seqline retrain reviews.toml."
            ),
        ),
        (
            ["run", "pyproject.toml"],
            (
                "pyproject.toml is no configuration of seqline: it has no [example_gen]. `seqline"
                " init DATA -o my.toml` writes one."
            ),
        ),
    ],
)
def test_data_and_files_that_do_not_fit(
    arguments: list[str], line: str, tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\n\n[project]\nname = 'x'\n"
    )
    assert refused(*arguments) == line


def test_a_file_that_is_not_there_and_the_one_beside_it(tmp_path: Path, refused: Any) -> None:
    assert (
        refused("run", "reveiws.csv")
        == f"There is no file 'reveiws.csv' in {tmp_path}. Did you mean 'reviews.csv'?"
    )


def test_data_make_a_configuration_that_their_record_gives_again(tmp_path: Path) -> None:
    (tmp_path / "new.tsv").write_text(ROWS.replace(",", "\t"))
    settings = ["trainer.rnn_units=4", "evaluator.max_loss_of_accuracy=null"]
    loaded = chosen.read(Common("new.tsv", settings=settings, text=["review"], label="stars"))
    assert loaded.name == "new"
    assert loaded.trainer.rnn_units == 4
    assert loaded.evaluator.max_loss_of_accuracy is None

    example_gen = loaded.example_gen
    assert example_gen.source == "new.tsv"
    assert example_gen.text == "review"
    assert example_gen.label == "stars"
    assert example_gen.delimiter == "\t"

    record = records.Records(run_record("one", about={"config": loaded.model_dump(mode="json")}))
    text = reproduce.config_toml(record, "artifacts")
    assert text is not None
    assert 'max_loss_of_accuracy = "null"' in text

    (tmp_path / "again.toml").write_text(text)
    assert configuration.load("again.toml") == loaded


def test_data_of_single_words_are_read_by_characters(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text(
        "text,label\n"
        + "".join(f"{name},{name[-1]}\n" for name in ("Schmidt", "Rossi", "O'Neil", "Sato"))
    )
    assert chosen.read(Common("names.csv")).transform.tokens == "char"
    assert (
        chosen.read(Common("names.csv", settings=["transform.tokens=word"])).transform.tokens
        == "word"
    )
    # The script decides.
    assert (
        chosen.read(Common("reviews.csv", text=["review"], label="stars")).transform.tokens is None
    )


def test_columns_of_data_by_set_and_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["example_gen.text=review", 'example_gen.label="stars"']
    loaded = chosen.read(Common("reviews.csv", settings=settings))
    assert (loaded.example_gen.text, loaded.example_gen.label) == ("review", "stars")
    monkeypatch.setenv("SEQLINE_EXAMPLE_GEN__LABEL", "stars")
    assert chosen.read(Common("reviews.csv", text=["review"])).example_gen.label == "stars"


ARTICLES = "title,body,label,fold\nBig news,the rain fell,a,train\n,snow today,b,test\n"


@pytest.mark.parametrize(
    "named",
    [
        Common("articles.csv", text=["title", "body"]),
        Common("articles.csv", settings=['example_gen.text=["title", "body"]']),
    ],
)
def test_data_with_the_content_in_several_columns(named: Common, tmp_path: Path) -> None:
    (tmp_path / "articles.csv").write_text(ARTICLES)
    loaded = chosen.read(named)
    assert loaded.example_gen.texts == ("title", "body")
    assert loaded.example_gen.label == "label"

    record = records.Records(run_record("one", about={"config": loaded.model_dump(mode="json")}))
    text = reproduce.config_toml(record, "artifacts")
    assert text is not None
    assert 'text = ["title", "body"]' in text
    (tmp_path / "again.toml").write_text(text)
    assert configuration.load("again.toml") == loaded


def test_several_columns_of_which_one_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "articles.csv").write_text(ARTICLES)
    with pytest.raises(UserError) as raised:
        chosen.read(Common("articles.csv", text=["title", "bdy"]))
    assert str(raised.value) == (
        "text 'bdy': articles.csv has no such column; it has 'title', 'body', 'label', 'fold'. Did"
        " you mean 'body'?"
    )
    for value, reason in (
        ("3", "input should be the name of a column, or a list of names"),
        ("[]", "[] names no column; name the one with the content"),
        ('["title", "title"]', "name the column 'title' twice"),
    ):
        with pytest.raises(UserError) as raised:
            chosen.read(Common("articles.csv", settings=[f"example_gen.text={value}"]))
        assert reason in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_run_of_data_without_a_file(tmp_path: Path, seqline: Any) -> None:
    code, out, error = seqline("plan", "reviews.csv", "--text", "review", "--label", "stars")
    assert (code, error) == (0, "")
    table, _, settings = out.partition("\n\n")
    assert [line.split()[0] for line in table.splitlines()] == [
        "stage",
        *("example_gen", "statistics_gen", "schema_gen", "example_validator"),
        *("transform", "trainer", "exporter", "evaluator", "infra_validator", "pusher"),
    ]
    assert settings.splitlines() == [
        "transform.tokens  by script: words, or characters where words have no spaces",
        "transform.max_length  from the data, at most 256",
    ]
    assert not (tmp_path / "artifacts" / "example_gen").exists()


def nullable() -> list[str]:
    names = []
    for section, info in configuration.Config.model_fields.items():
        for name, field in getattr(info.annotation, "model_fields", {}).items():
            if f"{section}.{name}" == "pusher.model_name":  # null is the configuration's name
                continue
            if field.default is None or "null" in (field.description or ""):
                names.append(f"{section}.{name}")
    return names


@pytest.mark.parametrize("name", nullable())
def test_null_can_be_given_where_it_is_documented(name: str, tmp_path: Path) -> None:
    section, field = name.split(".")
    assert getattr(getattr(configuration.load("my.toml", [f"{name}=null"]), section), field) is None
    (tmp_path / "null.toml").write_text(f'example_gen.source = "reviews.csv"\n{name} = "null"\n')
    assert getattr(getattr(configuration.load("null.toml"), section), field) is None


def test_null_is_an_error_elsewhere() -> None:
    with pytest.raises(
        UserError,
        match=r"^--set trainer\.rnn_units: input should be a valid integer, not 'null'\.$",
    ):
        configuration.load("my.toml", ["trainer.rnn_units=null"])


def test_command_line_environment_file_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.toml").write_text(
        'root = "of file"\n' + (tmp_path / "my.toml").read_text() + "[trainer]\nrnn_units = 5\n"
    )
    assert chosen.read(Common("my.toml")).root == "of file"
    assert chosen.read(Common("my.toml")).trainer.rnn_units == 5

    monkeypatch.setenv("SEQLINE_ROOT", "of environment")
    monkeypatch.setenv("SEQLINE_SERVING_DIR", "served")
    monkeypatch.setenv("SEQLINE_NAME", "named")
    monkeypatch.setenv("SEQLINE_TRAINER__RNN_UNITS", "6")

    loaded = chosen.read(Common("my.toml"))
    assert loaded.root == "of environment"
    assert loaded.trainer.rnn_units == 6
    assert loaded.pusher.serving_dir == "served"
    assert loaded.name == "named"

    loaded = chosen.read(Common("my.toml", settings=["root=of set", "trainer.rnn_units=7"]))
    assert (loaded.root, loaded.trainer.rnn_units) == ("of set", 7)
    assert (
        chosen.read(Common("my.toml", settings=["root=of set"], root="of flag")).root == "of flag"
    )


def test_commands_without_a_configuration_read_it_too(
    monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.setenv("SEQLINE_ROOT", "elsewhere")
    for command in ("show", "history", "report"):
        assert (
            refused(command)
            == "There is no folder 'elsewhere'. Name the root of the run with --root."
        )

    assert (
        refused("show", "--root", "here")
        == "There is no folder 'here'. Name the root of the run with --root."
    )

    monkeypatch.setenv("SEQLINE_SERVING_DIR", "no models")
    assert refused("predict", "a text").startswith("No SavedModel at no models")
    assert refused("predict", "a text", "--model", "mine").startswith("No SavedModel at mine")


def test_variables_that_mean_nothing(monkeypatch: pytest.MonkeyPatch, seqline: Any) -> None:
    for name in ("SEQLINE_ROT", "SEQLINE_PORT_8501_TCP", "SEQLINE_SERVICE_HOST", "SEQLINE_TAG"):
        monkeypatch.setenv(name, "1")
    assert (
        seqline("version")[2]
        == "warning: SEQLINE_ROT in the environment means nothing to seqline. Did you mean"
        " 'SEQLINE_ROOT'?\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "SEQLINE_TRAINR__RNN_UNITS",
            "6",
            "SEQLINE_TRAINR__RNN_UNITS: trainr is not a known name. Did you mean 'trainer'?",
        ),
        (
            "SEQLINE_TRAINER__RNN_UNIT",
            "6",
            "SEQLINE_TRAINER__RNN_UNIT is not a known name. Did you mean 'rnn_units'?",
        ),
        (
            "SEQLINE_TRAINER__RNN_UNITS",
            "x",
            "SEQLINE_TRAINER__RNN_UNITS: input should be a valid integer, not 'x'.",
        ),
        ("SEQLINE_JOBS", "0", "seqline run -j '0': input should be greater than or equal to 1."),
    ],
)
def test_settings_of_the_environment_that_are_wrong(
    name: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.setenv(name, value)
    assert refused("run", "my.toml") == line


def test_infer_needs_no_configuration_and_uses_no_sample(tmp_path: Path) -> None:
    loaded = chosen.read_if_named(Common(), "infer")
    assert loaded.example_gen.text == "text"
    assert loaded.bulk_inferrer.text is None
    assert loaded.evaluator.min_accuracy == 0.0
    write_jsonl(tmp_path / "rows.jsonl", corpus_rows(3))
    assert chosen.read_if_named(Common("my.toml"), "infer").example_gen.text == "review"
