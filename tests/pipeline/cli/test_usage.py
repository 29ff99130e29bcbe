"""Wrong words and flags: one line with the remedy, and exit code 2."""

from typing import Any

import pytest

from pipeline.cli import app
from tests.support.commands import commands_of

pytestmark = pytest.mark.usefixtures("folder")

COMMANDS = sorted({*commands_of(app.app)} - {"template"})


WORDS = {"init": ["reviews.csv"], "compare": ["a", "b"], "infer": ["reviews.csv", "-o", "out"]}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_flag_is_one_line(command: str, refused: Any) -> None:
    line = refused(command, *WORDS.get(command, []), "--hlep")
    assert line.startswith(f"seqline {command} has no flag --hlep.")
    assert "--help" in line


# Every word of predict is a text, and every one of compare is a run.
@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"predict", "compare"}))
def test_a_wrong_word_is_one_line(command: str, refused: Any) -> None:
    words = {
        "init": ["a.csv", "b.csv", "c.csv"],
        "infer": [*WORDS["infer"], "more"],
    }

    first = (
        "my.toml"
        if command in ("run", "plan", "retrain", "gc", "doctor")
        else "latest"
        if command in ("show", "report")
        else None
    )

    line = refused(command, *words.get(command, [*([first] if first else []), "more"]))
    assert "more" in line or command == "init"


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
            "seqline history --limit '0': input should be greater than or equal to 1.",
        ),
        (["compare", "a"], "compare needs two runs or more, such as a and latest."),
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
