"""What a person types.

Words, flags and variables, right and wrong. Wrong ones are one line with the way out, and exit code
2.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import config as configuration
from pipeline.cli import app, beam_flags, chosen
from pipeline.cli.chosen import Common
from pipeline.report import records, reproduce
from seqline.errors import UserError
from tests.conftest import commands_of, corpus_rows, write_jsonl
from tests.support import CHECKOUT
from tests.support.records import run_record

ROWS = "review,stars\n" + "".join(
    f"{'good' if number % 2 else 'bad'} film number {number},{number % 2}\n" for number in range(40)
)
COMMANDS = sorted({*commands_of(app.app)} - {"template"})
# What each needs, so that the next thing that is wrong is the one that a test is about.
WORDS = {"init": ["reviews.csv"], "compare": ["a", "b"], "infer": ["reviews.csv", "-o", "out"]}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [
        name for name in os.environ if name.startswith("SEQLINE_") and "CACHE" not in name
    ]:
        monkeypatch.delenv(name)
    (tmp_path / "reviews.csv").write_text(ROWS)
    (tmp_path / "my.toml").write_text(
        '[example_gen]\nsource = "reviews.csv"\ntext = "review"\nlabel = "stars"\n'
    )


def called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit code, output and errors of `seqline ARGUMENTS`, in this process."""
    monkeypatch.setattr(sys, "argv", ["seqline", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture
def seqline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: called(monkeypatch, capsys, *arguments)


@pytest.fixture
def refused(seqline: Any) -> Any:
    """The one line of what must end with exit code 2."""

    def call(*arguments: str) -> str:
        code, out, error = seqline(*arguments)
        assert (code, out) == (2, "")
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert error.endswith((".\n", "?\n", "\n"))
        return str(error).removeprefix("error: ").removesuffix("\n")

    return call


# Wrong words and flags


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_flag_is_one_line(command: str, refused: Any) -> None:
    line = refused(command, *WORDS.get(command, []), "--hlep")
    assert line.startswith(f"seqline {command} has no flag --hlep.")
    assert "--help" in line


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"predict"}))  # every word is a text
def test_a_wrong_word_is_one_line(command: str, refused: Any) -> None:
    words = {
        "init": ["a.csv", "b.csv", "c.csv"],
        "infer": [*WORDS["infer"], "more"],
        "compare": ["a", "b", "c"],
    }
    first = (
        "my.toml"
        if command in ("run", "plan", "retrain", "gc", "doctor")
        else "latest"
        if command in ("show", "report")
        else None
    )
    line = refused(command, *words.get(command, [*([first] if first else []), "more"]))
    assert "more" in line or "c" in line.split("'") or command == "init"


@pytest.mark.parametrize("command", ["run", "plan", "retrain", "gc"])
def test_a_wrong_file_is_one_line(command: str, refused: Any) -> None:
    assert (
        refused(command, "mi.toml")
        == "There is no configuration 'mi.toml': no such file, and those that ship are bbc_news."
        " Did you mean 'my.toml'?"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["runn"], "seqline has no command 'runn'. Did you mean 'run'?"),
        (["zzz"], "seqline has no command 'zzz'. The commands are init, run, plan, "),
        (["template", "buld"], "seqline template has no command 'buld'. Did you mean 'build'?"),
        (["template", "build"], "seqline template build needs TARGET: the file to write: "),
        (["--verzion"], "seqline has no flag --verzion. Did you mean --version?"),
        (
            ["run", "--serving_dir=x"],
            (
                "seqline run has no flag --serving_dir. Did you mean --serving-dir? Flags for Beam"
                " follow `--`."
            ),
        ),
        (
            ["run", "--root"],
            "seqline: Option '--root' requires an argument. seqline --help tells more.",
        ),
        (["run", "my.toml", "--jobs", "x"], "seqline run -j 'x': input should be a valid integer"),
        (
            ["history", "-n", "0"],
            "seqline history -n '0': input should be greater than or equal to 1.",
        ),
        (["compare", "a"], "seqline compare needs B: "),
        (
            ["serve", "--rest_api_prot=1"],
            "seqline serve has no flag --rest_api_prot. Did you mean --rest_api_port?",
        ),
        (["serve", "--rest_api_port=x"], "argument --rest_api_port: invalid int value: 'x'."),
        (["serve", "serving_dir"], "seqline serve does not take the word 'serving_dir'; "),
        (["doctor", "--qick"], "seqline doctor has no flag --qick. Did you mean --quick?"),
        (
            ["infer", "reviews.csv", "-o", "out", "--format", "x"],
            "--set bulk_inferrer.format: input should be 'jsonl' or 'tfrecord', not 'x'.",
        ),
        (
            ["infer", "reviews.csv", "-o", "out", "--config", "a.csv"],
            "seqline infer needs a configuration, and a.csv is data: ",
        ),
        (
            ["show", "--root", "nowhere"],
            "There is no folder 'nowhere'. Name the root of the run with --root.",
        ),
        (["run", "my.toml", "--to", "trainr"], "--to 'trainr' is not a stage; the stages are "),
    ],
)
def test_what_was_meant_is_said(arguments: list[str], line: str, refused: Any) -> None:
    assert refused(*arguments).startswith(line)


# Which configuration


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
    loaded = chosen.read(Common("new.tsv", settings=settings, text="review", label="stars"))
    assert (loaded.name, loaded.trainer.rnn_units, loaded.evaluator.max_loss_of_accuracy) == (
        "new",
        4,
        None,
    )
    example_gen = loaded.example_gen
    assert (example_gen.source, example_gen.text, example_gen.label, example_gen.delimiter) == (
        "new.tsv",
        "review",
        "stars",
        "\t",
    )
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
    assert (
        chosen.read(Common("reviews.csv", text="review", label="stars")).transform.tokens == "word"
    )


def test_columns_of_data_by_set_and_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["example_gen.text=review", 'example_gen.label="stars"']
    loaded = chosen.read(Common("reviews.csv", settings=settings))
    assert (loaded.example_gen.text, loaded.example_gen.label) == ("review", "stars")
    monkeypatch.setenv("SEQLINE_EXAMPLE_GEN__LABEL", "stars")
    assert chosen.read(Common("reviews.csv", text="review")).example_gen.label == "stars"


def test_a_run_of_data_without_a_file(tmp_path: Path, seqline: Any) -> None:
    code, out, error = seqline("plan", "reviews.csv", "--text", "review", "--label", "stars")
    assert (code, error) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [
        "stage",
        *("example_gen", "statistics_gen", "schema_gen", "example_validator"),
        *("transform", "trainer", "exporter", "evaluator", "infra_validator", "pusher"),
    ]
    assert not (tmp_path / "artifacts" / "example_gen").exists()


# null


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


# The environment


def test_command_line_environment_file_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.toml").write_text(
        'root = "of file"\n' + (tmp_path / "my.toml").read_text() + "[trainer]\nrnn_units = 5\n"
    )
    assert (
        chosen.read(Common("my.toml")).root,
        chosen.read(Common("my.toml")).trainer.rnn_units,
    ) == (
        "of file",
        5,
    )
    monkeypatch.setenv("SEQLINE_ROOT", "of environment")
    monkeypatch.setenv("SEQLINE_SERVING_DIR", "served")
    monkeypatch.setenv("SEQLINE_NAME", "named")
    monkeypatch.setenv("SEQLINE_TRAINER__RNN_UNITS", "6")
    loaded = chosen.read(Common("my.toml"))
    assert (loaded.root, loaded.trainer.rnn_units, loaded.pusher.serving_dir, loaded.name) == (
        "of environment",
        6,
        "served",
        "named",
    )
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


# Beam


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--max_num_worker=5"],
            (
                "--max_num_worker follows `--` and is not a flag of Beam's. Did you mean"
                " --max_num_workers?"
            ),
        ),
        (
            ["--max_num_worker", "5"],
            (
                "--max_num_worker follows `--` and is not a flag of Beam's. Did you mean"
                " --max_num_workers?"
            ),
        ),
        (
            ["--max-num-workers=5"],
            (
                "--max-num-workers follows `--` and is not a flag of Beam's. Did you mean"
                " --max_num_workers?"
            ),
        ),
        (
            ["--max_num_workers=many"],
            "Beam's flags after `--`: argument --max_num_workers: invalid int value: 'many'.",
        ),
        (
            ["--direct_running_mode=x"],
            "Beam's flags after `--`: argument --direct_running_mode: invalid choice: 'x' ",
        ),
        (
            ["my.toml"],
            (
                "'my.toml' follows `--` and is not a flag of Beam's. The configuration is named"
                " before `--`."
            ),
        ),
        (
            ["--runner=DataflowRuner"],
            "Beam has no runner 'DataflowRuner'. Did you mean 'DataflowRunner'?",
        ),
    ],
)
@pytest.mark.parametrize(
    "command",
    [["run", "my.toml"], ["retrain", "my.toml"], ["infer", "reviews.csv", "-o", "out"]],
    ids=lambda words: words[0],
)
def test_flags_that_beam_does_not_have(
    command: list[str], flags: list[str], line: str, refused: Any
) -> None:
    assert refused(*command, "--", *flags).startswith(line)


def test_flags_that_beam_has() -> None:
    beam_flags.check(
        [
            "--direct_num_workers=2",
            "--experiments=use_runner_v2",
            "--experiments",
            "other",
            "--no_use_public_ips",
        ]
    )
    beam_flags.check(
        [
            "--flink_master=localhost:8081",
            "--parallelism=4",
            "--runner=flink",
            "--worker_machine_type=n2-standard-4",
        ]
    )
    with pytest.raises(UserError, match=r"^Beam has no runner 'Direkt'"):
        beam_flags.check([], "Direkt")


def test_what_has_no_flag_for_beam_imports_none() -> None:
    code = (
        "import sys\nfrom pipeline.cli import beam_flags\nbeam_flags.check([],"
        " None)\nbeam_flags.check([], 'DataflowRunner')\nassert 'apache_beam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT)


# Help, version, module


def test_help_is_light_and_fits_eighty_columns(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pipeline.cli import app\ntry:\n    app.main()\nexcept SystemExit as"
        " end:\n    assert not end.code, end.code\nheavy = {'tensorflow', 'apache_beam',"
        " 'pydantic', 'numpy', 'rich.console', 'components'} & {*sys.modules}\nassert not heavy,"
        " heavy"
    )
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    listed = [
        line.split()[0]
        for line in done.stdout.partition("Commands:\n")[2].splitlines()
        if line[2:3].strip()
    ]
    assert sorted(listed) == sorted(commands_of(app.app))


def test_a_late_command_has_the_summary_of_its_help() -> None:
    """What `seqline --help` says of it without importing it is the beginning of what it says
    itself, or at least about the same thing.
    """
    commands = commands_of(app.app)
    for name in app.COMMANDS:
        assert commands[name].help, name
        assert commands[name].help.split()[0] == app.COMMANDS[name].summary.split()[0], name


def test_the_module_and_the_version(tmp_path: Path, seqline: Any) -> None:
    assert seqline("--version") == (0, f"{app.__version__}\n", "")
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-m", "seqline", "version"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{app.__version__}\n", "")


def test_shell_completion_knows_the_commands(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    asked = {"_SEQLINE_COMPLETE": "complete_bash", "COMP_WORDS": "seqline re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "seqline"],
        capture_output=True,
        text=True,
        env={**environment, **asked},
        cwd=tmp_path,
    )
    assert sorted(done.stdout.split()) == ["report", "retrain"], done.stderr


# One meaning for one flag


def test_an_option_is_the_same_in_every_command() -> None:
    """The same flag has the same short form, is a switch or not, and comes once or many times,
    whichever command has it.
    """
    meant: dict[str, set[tuple[Any, ...]]] = {}
    for command in commands_of(app.app).values():
        for parameter in command.params:
            flags = [flag for flag in parameter.opts if flag.startswith("--")]
            # `rollback --to` is a version and `run --to` a stage.
            if flags and flags[0] not in ("--to", "--name", "--help"):
                short = tuple(flag for flag in parameter.opts if not flag.startswith("--"))
                meant.setdefault(flags[0], set()).add(
                    (short, bool(parameter.is_flag), bool(parameter.multiple))
                )
    assert {
        "--root",
        "--serving-dir",
        "--config",
        "--set",
        "--json",
        "--model",
        "--output",
        "--text",
        "--verbose",
    } <= {*meant}
    assert {flag: kinds for flag, kinds in meant.items() if len(kinds) > 1} == {}


@pytest.mark.parametrize("reference", ["latest", "20260101", "0001"])
def test_show_finds_a_run_as_compare_does(reference: str, tmp_path: Path, seqline: Any) -> None:
    run = tmp_path / "artifacts" / "runs" / "20260101-000000-0001"
    run.mkdir(parents=True)
    (run / "run.json").write_text(
        json.dumps(
            {
                "run": run.name,
                "started": "2026-01-01T00:00:00+00:00",
                "verdict": "finished",
                "uses": {},
                "stages": [],
            }
        )
    )
    code, out, error = seqline("show", reference, "--json")
    assert (code, error, json.loads(out)["run"]) == (0, "", run.name)


def test_infer_needs_no_configuration_and_uses_no_sample(tmp_path: Path) -> None:
    loaded = chosen.read_if_named(Common(), "infer")
    assert (loaded.example_gen.text, loaded.bulk_inferrer.text, loaded.evaluator.min_accuracy) == (
        "text",
        None,
        0.0,
    )
    write_jsonl(tmp_path / "rows.jsonl", corpus_rows(3))
    assert chosen.read_if_named(Common("my.toml"), "infer").example_gen.text == "review"
