"""Flex Templates: the file that `seqline template build` writes, and what a launch of it runs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth.credentials
import pytest
from google.auth.transport.requests import AuthorizedSession
from google.cloud.dataflow_v1beta3 import ContainerSpec, ParameterType, SDKInfo
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.config import find
from pipeline.dataflow import template
from pipeline.dataflow import template_launch as launch
from seqline.errors import UserError
from seqline.storage.staging import path_of
from tests.support import CHECKOUT, fake_cloud
from tests.support.fake_cloud import FakeCloud
from tests.support.fake_cloud.dataflow import DONE

IMAGE = "registry/seqline-worker:1"
FLAGS = [
    "--config=bbc_news",
    "--runner=DataflowRunner",
    "--project=p",
    "--region=r",
    "--temp_location=gs://b/temp",
    f"--sdk_container_image={IMAGE}",
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[FakeCloud]:
    with fake_cloud.serve_here(tmp_path_factory.mktemp("cloud"), corpus) as cloud:
        cloud.gcs.put("bucket", "my.toml", b'[example_gen]\nsource = "gs://bucket/rows.jsonl"\n')
        yield cloud


def run_template(
    cloud: FakeCloud, parameters: dict[str, str], name: str = "nightly"
) -> tuple[int, Any]:
    """Makes the request of `gcloud dataflow flex-template run`. Returns (status, answer)."""
    launched = {
        "jobName": name,
        "containerSpecGcsPath": "gs://bucket/templates/seqline.json",
        "parameters": parameters,
        "environment": {"tempLocation": "gs://bucket/temp"},
    }
    url = f"{cloud.endpoint}/v1b3/projects/fake-project/locations/europe-west1/flexTemplates:launch"
    with AuthorizedSession(google.auth.default()[0]) as session:
        answer = session.post(url, json={"launchParameter": launched}, timeout=900)
    return answer.status_code, answer.json()


@pytest.mark.slow
def test_a_launch_runs_the_pipeline(cloud: FakeCloud, examples: Path) -> None:
    built = CliRunner().invoke(
        app, ["template", "build", "gs://bucket/templates/seqline.json", f"--image={IMAGE}"]
    )
    assert built.exit_code == 0
    assert (
        built.output.splitlines()[0]
        == f"gs://bucket/templates/seqline.json is the template of {IMAGE}"
    )

    root = "gs://bucket/root"
    status, answer = run_template(
        cloud,
        {
            "config": "gs://bucket/my.toml",
            "root": root,
            "to": "example_gen",
            "settings": "trainer.num_epochs=3",
            "beam_stages": "jobs",
        },
    )

    assert status == 200, answer
    job = cloud.dataflow.wait(0, 900)
    messages = [message["messageText"] for message in job.messages]
    assert (job.id, job.name, job.state) == (answer["job"]["id"], "nightly", DONE), messages

    pool = job.description["environment"]["workerPools"][0]
    assert pool["sdkHarnessContainerImages"][0]["containerImage"] == IMAGE
    assert pool["machineType"] == template.MACHINE_TYPE
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 1

    # The run in its worker submitted the stage's job, with the same image.
    (made,) = (path_of(root) / "example_gen").glob("*/execution.json")
    child = cloud.dataflow.jobs[1]
    assert [child.description["labels"]["seqline_key"], child.state] == [made.parent.name, DONE]
    assert (
        child.description["environment"]["workerPools"][0]["sdkHarnessContainerImages"][0][
            "containerImage"
        ]
        == IMAGE
    )

    shards = sorted(path.relative_to(examples) for path in examples.glob("Split-*/*"))
    assert sorted(
        str(path.relative_to(made.parent)) for path in made.parent.glob("Split-*/*")
    ) == list(map(str, shards))
    for shard in shards:
        assert (made.parent / str(shard)).read_bytes() == (examples / shard).read_bytes(), shard


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"config": "bbc_news"}, "Missing required parameter: root"),
        ({"root": "gs://bucket/root"}, "Missing required parameter: config"),
        ({"config": "bbc_news", "root": "artifacts"}, "Parameter root does not match"),
        (
            {"config": "bbc_news", "root": "gs://bucket/root", "roots": "x"},
            "Unrecognized parameter: roots",
        ),
        (
            {"config": "bbc_news", "root": "gs://bucket/root", "beam_stages": "there"},
            "Parameter beam_stages does not match",
        ),
        (
            {"config": "bbc_news", "root": "gs://bucket/root", "settings": "trainer.rnn_unit=8"},
            "--set trainer.rnn_unit is not a known name. Did you mean 'rnn_units'?",
        ),
    ],
)
def test_a_launch_that_is_refused(
    cloud: FakeCloud, parameters: dict[str, str], message: str
) -> None:
    path_of("gs://bucket/templates/seqline.json").write_text(json.dumps(template.spec(IMAGE)))
    before = len(cloud.dataflow.jobs)
    status, answer = run_template(cloud, parameters)
    assert (status, len(cloud.dataflow.jobs)) == (400, before)
    assert message in answer["error"]["message"]


def test_a_configuration_under_gs_that_does_not_exist(cloud: FakeCloud) -> None:
    with pytest.raises(UserError, match=r"^There is no configuration gs://bucket/none\.toml\.$"):
        find("gs://bucket/none.toml")


def test_the_file_is_what_the_api_knows_as_a_container_spec(tmp_path: Path) -> None:
    target = tmp_path / "seqline.json"
    arguments = [
        "template",
        "build",
        str(target),
        f"--image={IMAGE}",
        "--name=News",
        "--machine-type=n2-highmem-4",
    ]

    assert CliRunner().invoke(app, arguments).exit_code == 0
    spec = ContainerSpec.from_json(target.read_bytes(), ignore_unknown_fields=False)
    assert spec.image == IMAGE
    assert spec.sdk_info.language == SDKInfo.Language.PYTHON
    assert spec.metadata.name == "News"
    assert spec.default_environment.sdk_container_image == IMAGE
    assert spec.default_environment.machine_type == "n2-highmem-4"

    parameters = spec.metadata.parameters
    assert [(parameter.name, parameter.is_optional) for parameter in parameters] == [
        ("config", False),
        ("root", False),
        ("serving_dir", True),
        ("data_dir", True),
        ("settings", True),
        ("to", True),
        ("beam_stages", True),
        ("sdk_container_image", True),
    ]

    for parameter in parameters:
        assert parameter.label
        assert parameter.help_text.endswith(".")
        assert (parameter.param_type == ParameterType.ENUM) == bool(parameter.enum_options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nowhere/seqline.json", "--image=a"],
            "nowhere/seqline.json cannot be written: No such file or directory",
        ),
        (["seqline.json", "--image=a b"], "--image 'a b' is not an image name"),
    ],
)
def test_a_build_that_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(app, ["template", "build", *arguments]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith(message)
    assert not list(tmp_path.iterdir())


ROOT = [
    "--root=gs://b/root",
    "--serving_dir=gs://b/served",
    "--settings=example_gen.source=gs://b/rows.csv",
]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([*FLAGS[1:], *ROOT], ["the parameter config is missing"]),
        ([*FLAGS], ["the parameter root is missing"]),
        ([*FLAGS, "--root=artifacts"], ["the parameter root is 'artifacts', which is not gs://"]),
        ([*FLAGS[:5], *ROOT], ["the parameter sdk_container_image is missing"]),
        (
            [*FLAGS, *ROOT, "--to=trainr"],
            ["the parameter to is 'trainr', which is not a stage; the stages are example_gen, "],
        ),
        (
            [*FLAGS, *ROOT, "--settings=a='b"],
            ['the parameter settings is "a=\'b", which a shell cannot read: No closing quotation'],
        ),
        ([*FLAGS, *ROOT, "--config=nowhere"], ["There is no configuration 'nowhere'"]),
        (
            [
                *FLAGS,
                "--temp_location=/tmp",
                "--root=gs://b/root",
                "--settings=example_gen.source=rows.csv",
            ],
            [
                "--temp_location=/tmp is not under gs://",
                "example_gen.source 'rows.csv' is a file of this machine",
                "serving_dir 'serving_dir/bbc_news' is",
            ],
        ),
    ],
)
def test_a_launch_with_which_no_run_can_work(arguments: list[str], messages: list[str]) -> None:
    with pytest.raises(UserError) as error:
        launch.check(*launch.parse(arguments))
    for message in messages:
        assert message in str(error.value)


def test_parameters_become_the_arguments_of_a_run() -> None:
    more = [
        "--to=pusher",
        "--config=my.toml",
        "--data_dir=gs://b/data",
        "--no_use_public_ips",
        "--job_name=nightly",
        "--subnetwork=s",
        "--labels=team=search",
        "--labels=cost=low",
        "--max_num_workers=20",
        "--worker_zone=r-b",
        "--experiments=use_runner_v2",
        "--dataflow_service_options=enable_prime",
        "--machine_type=n2-standard-4",
        "--disk_size_gb=80",
    ]

    settings = "--settings=trainer.num_epochs=3 'example_gen.text=the text'"
    given, flags = launch.parse([*FLAGS, *ROOT[:2], settings, *more])
    here = [
        "run",
        "--verbose",
        "--config=my.toml",
        "--root=gs://b/root",
        "--serving-dir=gs://b/served",
        "--data-dir=gs://b/data",
        "--to=pusher",
        "--set=trainer.num_epochs=3",
        "--set=example_gen.text=the text",
    ]

    assert launch.command(given, flags) == here
    given.beam_stages = "jobs"
    handed = [
        "--project=p",
        "--region=r",
        "--temp_location=gs://b/temp",
        f"--sdk_container_image={IMAGE}",
        "--subnetwork=s",
        "--machine_type=n2-standard-4",
        "--disk_size_gb=80",
        "--max_num_workers=20",
        "--worker_zone=r-b",
        "--labels=team=search",
        "--labels=cost=low",
        "--experiments=use_runner_v2",
        "--dataflow_service_options=enable_prime",
    ]

    assert launch.command(given, flags) == [
        *here,
        "--runner=DataflowRunner",
        "--",
        *handed,
        "--no_use_public_ips",
    ]


def test_a_run_that_fails_fails_its_job(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError,
        match=(
            r"seqline run ended with exit code 2:\n(.|\n)*error: There is no configuration"
            r" 'nowhere'"
        ),
    ):
        launch.work(["run", "--config=nowhere", f"--root={tmp_path}"])


def test_the_launchers_file_says_a_users_error_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            CHECKOUT / "pipeline" / "dataflow" / "flex_template.py",
            *FLAGS,
            "--root=here",
        ],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: the parameter root is 'here', which is not gs://")
    assert len(done.stderr.splitlines()) == 1
