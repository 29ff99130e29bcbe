"""Flags for Beam, which follow `--`."""

import re
import subprocess
import sys
from typing import Any

import pytest

from pipeline.cli import beam_flags
from seqline.errors import UserError
from tests.support import CHECKOUT

pytestmark = pytest.mark.usefixtures("folder")


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


@pytest.mark.parametrize(
    ("runner", "message"),
    [
        ("DaskRunner", "cannot run seqline's jobs: Beam's Dask runner computes one output of a"),
        ("apache_beam.runners.dask.dask_runner.DaskRunner", "cannot run seqline's jobs"),
        ("InteractiveRunner", "is for notebooks"),
        ("no.such.Runner", "cannot be imported: No module named 'no'"),
        ("os.path.join", "is not the class of a runner of Beam's"),
        ("", "Beam has no runner ''"),
    ],
)
def test_a_runner_that_cannot_run_the_jobs_is_refused(runner: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        beam_flags.check([], runner)
