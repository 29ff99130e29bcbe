"""Workers without public addresses need an image that they reach."""

import pytest

from pipeline.dataflow import preflight

NEEDED = ["--project=p", "--region=r", "--temp_location=gs://b/t", "--no_use_public_ips"]
NO_INDEX = "--no_use_public_ips: such workers cannot reach the package index from which they"


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--setup_file=setup.py", NO_INDEX),
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
def test_they_need_an_image_in_googles_registry(flag: str, problem: str) -> None:
    problems = list(preflight.of_flags([*NEEDED, flag]))
    assert [one[: len(problem)] for one in problems] == ([problem] if problem else [])


def test_workers_with_addresses_need_none() -> None:
    assert list(preflight.of_flags(NEEDED[:3])) == []
