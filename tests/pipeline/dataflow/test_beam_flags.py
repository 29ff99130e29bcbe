"""Flags that Beam would ignore in silence are named, with the one that was meant."""

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from pipeline.dataflow import beam_flags, preflight


def test_the_flags_are_those_that_beam_itself_knows() -> None:
    parser = _BeamArgumentParser(allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        if options.__module__ == PipelineOptions.__module__:
            options._add_argparse_args(parser)
    flags = {name[2:] for name in parser._option_string_actions if name.startswith("--")}
    assert flags - {"help"} - beam_flags.known().keys() == set()
    kinds = {name: beam_flags.known()[name] for name in ("num_workers", "streaming", "labels")}
    assert kinds == {
        "num_workers": beam_flags.INTEGER,
        "streaming": beam_flags.SWITCH,
        "labels": beam_flags.TEXT,
    }


IGNORED = "is not a flag of Beam, which would ignore it:"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--labels=a=b", "--labels", "c=d", "--no_use_public_ips", "--num_workers", "3"], []),
        (["--max_num_worker=3"], [f"--max_num_worker=3 {IGNORED} did you mean --max_num_workers?"]),
        (
            ["--max-num-workers=3"],
            [f"--max-num-workers=3 {IGNORED} did you mean --max_num_workers?"],
        ),
        (["--maxNumWorkers=3"], [f"--maxNumWorkers=3 {IGNORED} did you mean --max_num_workers?"]),
        (
            ["--service_account", "a@b"],
            [
                f"--service_account {IGNORED} did you mean --service_account_email?",
                "'a@b' belongs to no flag, and Beam would ignore it: flags begin with --",
            ],
        ),
        (["--quux=1"], [f"--quux=1 {IGNORED} correct it, or leave it out"]),
        (
            ["max_num_workers=3"],
            [
                (
                    "'max_num_workers=3' belongs to no flag, and Beam would ignore it: did you mean"
                    " --max_num_workers?"
                )
            ],
        ),
        (
            ["--no_use_public_ips=true"],
            [
                (
                    "--no_use_public_ips=true: a switch takes no value; write --no_use_public_ips,"
                    " or leave it out"
                )
            ],
        ),
        (["--subnetwork", "--streaming"], ["--subnetwork has no value: write --subnetwork=..."]),
        (["--subnetwork="], ["--subnetwork has no value: write --subnetwork=..."]),
        (
            ["--disk_size_gb=80GB"],
            ["--disk_size_gb=80GB is not a whole number: write --disk_size_gb=20, say"],
        ),
        (
            ["--num_workers", "many"],
            ["--num_workers=many is not a whole number: write --num_workers=20, say"],
        ),
    ],
)
def test_what_beam_would_ignore_is_said(flags: list[str], expected: list[str]) -> None:
    assert list(beam_flags.problems(flags)) == expected


def test_without_beams_source_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(beam_flags, "OPTIONS", str(tmp_path / "gone.py"))
    beam_flags.known.cache_clear()
    assert list(beam_flags.problems(["--quux"])) == []
    beam_flags.known.cache_clear()


NEEDED = ["--project=p", "--region=r", "--temp_location=gs://b/t", "--no_use_public_ips"]


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        (
            "--setup_file=setup.py",
            "--no_use_public_ips: such workers cannot reach the package index",
        ),
        (
            "--sdk_container_image=docker.io/me/worker:1",
            (
                "--no_use_public_ips: such workers cannot fetch the image docker.io/me/worker:1,"
                " which is not in Google's Artifact Registry: push it to"
            ),
        ),
        ("--sdk_container_image=europe-west1-docker.pkg.dev/p/r/worker:1", ""),
        ("--sdk_container_image=eu.gcr.io/p/worker:1", ""),
        ("--requirements_file=mine.txt", ""),
    ],
)
def test_workers_without_public_addresses_need_an_image_that_they_reach(
    flag: str, problem: str
) -> None:
    problems = list(preflight.of_flags([*NEEDED, flag]))
    assert [one[: len(problem)] for one in problems] == ([problem] if problem else [])
