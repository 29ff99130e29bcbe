"""The workflows that ship: what they may do, and their shell steps, executed in a bare environment.

Not executed here, because they download or take minutes: `make install`, `make lint`, `make test`,
`make test-cloud` (`make` is asked what it would do), `make lint-workflows` (npm) and the image's
step (docker; tests/project/test_docker.py).
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.pusher import publish
from pipeline.cli.app import app
from tests.support import CHECKOUT
from tests.support.commands import commands_of
from tests.support.records import run_record
from tests.support.workflow_steps import LOADED, WORKFLOWS, Runner, step

ACCOUNT = {"contents": "read", "id-token": "write"}  # by OIDC, without a key
PERMISSIONS = {
    ("retrain", "retrain"): ACCOUNT,
    ("retrain", "promote"): ACCOUNT,
    ("release", "publish"): {**ACCOUNT, "attestations": "write"},
    ("release", "announce"): {"contents": "write"},
}
PIN = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$")


def steps(workflow: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in LOADED[workflow]["jobs"].items():
        for job_step in job["steps"]:
            yield name, job_step


# What they may do


def test_there_are_three() -> None:
    assert list(WORKFLOWS) == ["ci", "release", "retrain"]


@pytest.mark.parametrize("workflow", list(WORKFLOWS))
def test_actions_are_pinned_by_digest_with_their_version(workflow: str) -> None:
    lines = [
        line.strip() for line in WORKFLOWS[workflow].read_text().splitlines() if "uses:" in line
    ]
    pins = [PIN.search(line) for line in lines]
    assert [line for line, match in zip(lines, pins, strict=True) if not match] == []
    digests: dict[str, set[str]] = {}
    for match in pins:
        assert match is not None
        digests.setdefault(match[1], set()).add(match[2])
    assert {name: len(pinned) for name, pinned in digests.items()} == dict.fromkeys(digests, 1)


@pytest.mark.parametrize("workflow", list(WORKFLOWS))
def test_permissions_are_minimal_and_no_key_is_used(workflow: str) -> None:
    assert LOADED[workflow]["permissions"] == {"contents": "read"}

    for name, job in LOADED[workflow]["jobs"].items():
        assert job.get("permissions", {}) == PERMISSIONS.get((workflow, name), {}), name
        assert job["timeout-minutes"] <= 360

        for job_step in job["steps"]:
            if job_step.get("uses", "").startswith("actions/checkout@"):
                assert job_step["with"]["persist-credentials"] is False
    assert "secrets." not in WORKFLOWS[workflow].read_text()


def test_pull_requests_meet_no_account_and_forks_no_network_of_ours() -> None:
    triggers = {
        name: loaded[True] for name, loaded in LOADED.items()
    }  # YAML 1.1 reads the key `on` so
    assert set(triggers["ci"]) == {"push", "pull_request", "workflow_dispatch"}
    assert triggers["release"] == {"push": {"tags": ["v*"]}}
    assert set(triggers["retrain"]) == {"schedule", "repository_dispatch", "workflow_dispatch"}
    assert not any(
        "id-token" in job.get("permissions", {}) for job in LOADED["ci"]["jobs"].values()
    )
    assert LOADED["ci"]["jobs"]["image"]["if"].endswith(
        "github.event.pull_request.head.repo.full_name == github.repository"
    )
    assert LOADED["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_what_becomes_stable_needs_the_protected_environment() -> None:
    jobs = LOADED["retrain"]["jobs"]
    assert jobs["retrain"]["environment"] == "training"
    assert jobs["promote"]["environment"] == "production"
    assert "pusher.label=canary" in step("retrain", "retrain", "Retrain")["run"]
    assert jobs["promote"]["if"] == "needs.retrain.outputs.code == '0'"
    assert LOADED["retrain"]["concurrency"] == {"group": "retrain", "cancel-in-progress": False}


@pytest.mark.parametrize("workflow", list(WORKFLOWS))
def test_nothing_of_an_event_is_pasted_into_a_shell(workflow: str) -> None:
    for name, job_step in steps(workflow):
        assert "${{" not in job_step.get("run", ""), (name, job_step["run"])


def test_the_commands_and_options_are_those_that_there_are() -> None:
    commands = commands_of(app)
    missing = set()
    for workflow in WORKFLOWS:
        for _, job_step in steps(workflow):
            for name, rest in re.findall(
                r"\.venv/bin/seqline (\w+)([^\n|]*)", job_step.get("run", "")
            ):
                if name not in commands:
                    missing.add(name)
                    continue
                known = {option for parameter in commands[name].params for option in parameter.opts}

                # serve and doctor hand their options on
                assert name == "doctor" or set(re.findall(r"(?<= )--[\w-]+", rest)) <= known, (
                    name,
                    rest,
                )

    if missing:
        pytest.skip(f"not part of this version: seqline {', '.join(sorted(missing))}")


def test_makes_targets_are_there() -> None:
    for workflow in WORKFLOWS:
        for _, job_step in steps(workflow):
            for target in re.findall(r"^make ([\w-]+)$", job_step.get("run", ""), re.MULTILINE):
                done = subprocess.run(
                    ["make", "-n", target], cwd=CHECKOUT, capture_output=True, text=True
                )
                assert done.returncode == 0, done.stderr


# Their shell steps


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


PLACES = {"CONFIG": "bbc_news", "ROOT": "artifacts", "SERVING_DIR": "serving_dir/{name}"}


def test_the_doctors_step(runner: Runner) -> None:
    code, out = runner.run(step("retrain", "retrain", "Doctor"), **PLACES)
    assert code == 0, out
    assert f"ok    root                 {runner.folder}/artifacts" in out


def test_a_wrong_configuration_ends_with_its_code(runner: Runner) -> None:
    """The real command refuses a configuration."""
    code, out = runner.run(
        step("retrain", "retrain", "Retrain"),
        **{**PLACES, "CONFIG": "nowhere.toml"},
        BOOTSTRAP="",
        SETTINGS="",
    )
    assert code == 2
    assert "::error::the configuration is wrong; the log says what\n" in out
    assert runner.output.read_text() == "code=2\n"


@pytest.mark.parametrize(
    ("codes", "expected", "said"),
    [
        ([0], 0, "::notice::pushed"),
        ([10], 0, "::notice::nothing new"),
        ([40], 0, "::notice::busy"),
        ([50, 50, 0], 0, "::notice::pushed"),
        ([50, 10], 0, "::notice::nothing new"),
        ([50, 50, 50], 50, "::error::interrupted three times"),
        ([20], 20, "::error::the data was rejected"),
        ([30], 30, "::error::a gate refused"),
        ([1], 1, "::error::a bug (1)"),
        ([137], 137, "::error::a bug (137)"),
    ],
)
def test_each_exit_code_has_its_end(
    runner: Runner, codes: list[int], expected: int, said: str
) -> None:
    """The exit codes are given; the tests of retraining check that the command has them."""
    (runner.folder / "codes").write_text("".join(f"{code}\n" for code in codes))
    runner.install('echo "$@" >> calls; code=$(head -n 1 codes); sed -i 1d codes; exit "$code"')

    code, out = runner.run(
        step("retrain", "retrain", "Retrain"), **PLACES, BOOTSTRAP="", SETTINGS=""
    )
    assert code == expected, out
    assert out.splitlines()[-1].startswith(said)
    assert runner.output.read_text() == f"code={codes[-1]}\n"

    call = (
        "retrain --config bbc_news --root artifacts --serving-dir serving_dir/{name} --set"
        " pusher.label=canary"
    )
    assert (runner.folder / "calls").read_text().splitlines() == [call] * len(codes)


def test_inputs_are_arguments_and_no_code(runner: Runner) -> None:
    runner.install('printf "%s\\n" "$@" > calls')
    settings = "trainer.num_epochs=2\n\ntrainer.pooling=$(touch hacked); touch hacked\n"
    code, _ = runner.run(
        step("retrain", "retrain", "Retrain"),
        **{**PLACES, "CONFIG": '"; touch hacked; "'},
        BOOTSTRAP="true",
        SETTINGS=settings,
    )

    assert code == 0
    assert (runner.folder / "calls").read_text().splitlines()[1:] == [
        *(
            "--config",
            '"; touch hacked; "',
            "--root",
            "artifacts",
            "--serving-dir",
            "serving_dir/{name}",
            "--set",
            "pusher.label=canary",
            "--bootstrap",
        ),
        *(
            "--set",
            "trainer.num_epochs=2",
            "--set",
            "trainer.pooling=$(touch hacked); touch hacked",
        ),
    ]
    assert not (runner.folder / "hacked").exists()


def a_run(root: Path) -> None:
    folder = root / "runs" / "20260101T000000000000-abcd"
    folder.mkdir(parents=True)
    run_record(folder.name, verdict="finished").write(folder / "run.json")
    (folder / "report.html").write_text("<html>")


def test_the_report_is_gathered(runner: Runner) -> None:
    a_run(runner.folder / "artifacts")
    assert runner.run(step("retrain", "retrain", "Gather the report"), ROOT="artifacts")[0] == 0
    assert json.loads((runner.folder / "report" / "run.json").read_text())["verdict"] == "finished"
    assert (runner.folder / "report" / "report.html").read_text() == "<html>"


def test_where_nothing_was_recorded_there_is_nothing_to_gather(runner: Runner) -> None:
    code, out = runner.run(step("retrain", "retrain", "Gather the report"), ROOT="artifacts")
    assert code == 0
    assert "::notice::no run was recorded under artifacts" in out


def test_a_canary_becomes_stable_and_the_root_is_cleaned_up(runner: Runner) -> None:
    model = runner.folder / "model"
    model.mkdir()
    for label in ("stable", "canary"):
        (model / "saved_model.pb").write_text(label)
        publish.push(model, runner.folder / "serving_dir" / "bbc_news", label=label)
    code, out = runner.run(step("retrain", "promote", "Promote"), **PLACES)
    assert (code, out) == (0, "serving_dir/bbc_news/2 is stable\n")
    a_run(runner.folder / "artifacts")
    (runner.folder / "artifacts" / "trainer" / ("0" * 20)).mkdir(parents=True)
    code, out = runner.run(step("retrain", "promote", "Clean up"), **PLACES)
    assert code == 0, out
    assert out.splitlines()[-1] == "deleted 1"


# The recipes for others, in docs/ci.md


def block(mark: str) -> str:
    text = (CHECKOUT / "docs" / "ci.md").read_text(encoding="utf-8")
    return text[text.index(f"<!-- {mark}:") :].split("```", 2)[1].partition("\n")[2]


@pytest.mark.parametrize(
    ("codes", "expected", "said", "calls"),
    [
        ([0, 0], 0, "", ["retrain", "gc"]),
        ([10], 0, "", ["retrain"]),
        ([40], 0, "", ["retrain"]),
        ([50, 50, 0, 0], 0, "", ["retrain", "retrain", "retrain", "gc"]),
        ([50, 50, 50], 50, "50 of retrain\n", ["retrain"] * 3),
        ([30], 30, "30 of retrain\n", ["retrain"]),
        ([0, 2], 2, "2 of gc\n", ["retrain", "gc"]),
    ],
)
def test_crons_script(
    runner: Runner, codes: list[int], expected: int, said: str, calls: list[str]
) -> None:
    (runner.folder / "codes").write_text("".join(f"{code}\n" for code in codes))
    runner.install(
        'echo "$1" >> calls; code=$(head -n 1 codes); sed -i 1d codes; echo "$code of $1"; exit'
        ' "$code"'
    )
    (runner.folder / "retrain.sh").write_text(block("cron"))
    command = [
        "env",
        "-i",
        "PATH=/usr/bin:/bin",
        "bash",
        "retrain.sh",
        "my.toml",
        "artifacts",
        "serving_dir",
    ]

    done = subprocess.run(command, cwd=runner.folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (expected, said, "")
    assert (runner.folder / "calls").read_text().split() == calls


def test_gitlabs_jobs(runner: Runner) -> None:
    jobs = yaml.safe_load(block("gitlab"))
    assert jobs["retrain"]["allow_failure"] == {"exit_codes": [10, 40]}
    assert jobs["retrain"]["retry"]["exit_codes"] == [50]
    places = {f"SEQLINE_{name}": place for name, place in PLACES.items()}
    [command] = [line for line in jobs["retrain"]["before_script"] if "doctor" in line]
    assert runner.run({"run": command}, **places)[0] == 0
    a_run(runner.folder / "artifacts")
    assert runner.run({"run": "\n".join(jobs["retrain"]["after_script"])}, **places)[0] == 0
    assert json.loads((runner.folder / "run.json").read_text())["verdict"] == "finished"
    code, out = runner.run({"run": jobs["promote"]["script"][2]}, **places)
    assert (code, out.splitlines()[-1]) == (0, f"{runner.folder}/artifacts: nothing to delete")
