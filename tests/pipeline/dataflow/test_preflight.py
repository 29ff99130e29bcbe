"""The preflight refuses each wrong invocation with its own message, all of them in one list."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from components.example_gen import EXAMPLE_GEN, ExampleGenParams
from components.transform import TRANSFORM, TransformParams
from pipeline.cli.app import app
from pipeline.dataflow import preflight
from pipeline.dataflow.preflight import PreflightError, image_facts
from pipeline.runner.plan import Pipeline
from seqline.component import Figures
from seqline.jobs import shipping
from tests.support import CHECKOUT, fake_cloud
from tests.support.fake_cloud import FakeCloud

ROOT = "gs://bucket/root"


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    with fake_cloud.serve(tmp_path) as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        yield cloud


def pipeline(source: str | dict[str, str] = "gs://bucket/rows.jsonl", **params: str) -> Pipeline:
    pipe = Pipeline()
    given = ExampleGenParams(source=source, **params)  # type: ignore[arg-type]
    examples = pipe.add(EXAMPLE_GEN, given)
    pipe.add(TRANSFORM, TransformParams(), examples=examples)
    return pipe


def problems(
    cloud: FakeCloud, *flags: str, pipe: Pipeline | None = None, root: str = ROOT, without: str = ""
) -> list[str]:
    given = [flag for flag in cloud.flags if not without or not flag.startswith(f"--{without}=")]
    try:
        preflight.check(pipe or pipeline(), root, [*given, *flags])
    except PreflightError as error:
        return error.problems
    return []


def test_nothing_in_the_way(cloud: FakeCloud) -> None:
    assert problems(cloud) == []
    assert (
        problems(
            cloud,
            "--staging_location=gs://bucket/staging",
            "--sdk_container_image=registry/worker:1",
        )
        == []
    )


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--temp_location=/tmp/x", "--temp_location=/tmp/x is not under gs://"),
        ("--staging_location=here", "--staging_location=here is not under gs://"),
        ("--setup_file=gone/setup.py", "--setup_file=gone/setup.py does not exist"),
        (
            "--setup_file=README.md",
            "--setup_file=README.md must be named setup.py or pyproject.toml",
        ),
        ("--requirements_file=gone.txt", "--requirements_file=gone.txt does not exist"),
        ("--extra_package=gone.whl", "--extra_package=gone.whl does not exist"),
        (
            "--job_name=My_Job",
            (
                "--job_name=My_Job is not a job name: use only lower case letters, digits and "
                "hyphens, and begin with a letter"
            ),
        ),
        (
            "--save_main_session",
            (
                "--save_main_session sends the state of the command line to the workers, which "
                "need none of it: leave it out"
            ),
        ),
    ],
)
def test_a_flag_that_cannot_work(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, flag: str, message: str
) -> None:
    monkeypatch.chdir(CHECKOUT)
    assert problems(cloud, flag) == [message]


@pytest.mark.parametrize("name", ["project", "region", "temp_location"])
def test_a_missing_flag(cloud: FakeCloud, name: str) -> None:
    assert problems(cloud, without=name) == [f"--{name} is missing: {preflight.NEEDED[name]}"]


def test_places_of_this_machine(cloud: FakeCloud, tmp_path: Path) -> None:
    assert problems(cloud, root="artifacts") == [
        "root 'artifacts' is a folder of this machine, where workers cannot write:"
        " --root=gs://bucket/path"
    ]
    assert problems(cloud, root="s3://bucket/root") == [
        "root 's3://bucket/root' is not under gs://, where workers cannot write:"
        " --root=gs://bucket/path"
    ]

    local = pipeline({"train": "train.csv", "test": "gs://bucket/test.csv"})
    assert problems(cloud, pipe=local) == [
        "example_gen.source 'train.csv' is a file of this machine, which workers cannot read: copy"
        " it to a bucket under gs://"
    ]
    assert problems(cloud, pipe=pipeline("tfds:imdb_reviews")) == [
        "example_gen.source 'tfds:imdb_reviews' is prepared in data_dir 'data', which workers"
        " cannot read: --data-dir=gs://bucket/path"
    ]
    assert problems(cloud, pipe=pipeline("tfds:imdb_reviews", data_dir="gs://bucket/data")) == []


def test_buckets_and_accounts(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(cloud, root="gs://bukket/root")[0].startswith(
        "root gs://bukket/root: the bucket 'bukket' does not exist."
    )

    cloud.gcs.permissions.remove("storage.objects.create")
    assert problems(cloud) == [
        "root gs://bucket/root: this account lacks storage.objects.create in the bucket 'bucket';"
        " the role storage.objectUser has them"
    ]

    cloud.gcs.permissions.add("storage.objects.create")
    cloud.faults.add("GET /v1b3/", status=403)
    assert problems(cloud)[0].startswith(
        "Dataflow gives no access to project 'fake-project' (403: told to fail). Run `gcloud auth "
    )
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    assert problems(cloud)[0].startswith("Dataflow gives no access to project 'fake-project' (")


def of_module(name: str) -> Pipeline:
    """A pipeline of one component that the module defines."""

    def run(*, params: ExampleGenParams, output: Path, beam_args: Sequence[str] = ()) -> Figures:
        return {}

    run.__module__ = name
    pipe = Pipeline()
    component = replace(EXAMPLE_GEN, run=run)
    pipe.add(component, ExampleGenParams(source="gs://bucket/rows.jsonl"))  # type: ignore[arg-type]
    return pipe


def test_code_that_workers_cannot_import(cloud: FakeCloud) -> None:
    assert problems(cloud, pipe=of_module("__main__")) == [
        "example_gen is defined in the script that is run (__main__), which workers cannot import:"
        " put it into a package"
    ]
    assert problems(cloud, pipe=of_module("mine.rows")) == [
        "example_gen is in mine.rows, which is not shipped: name its package by --"
        " --extra_package=... or --sdk_container_image"
    ]
    image = "--sdk_container_image=registry/mine:1"
    assert problems(cloud, image, pipe=of_module("mine.rows")) == []


def test_a_checkout_whose_packages_are_not_all_listed(tmp_path: Path) -> None:
    (tmp_path / "setup.py").touch()
    (tmp_path / "components" / "new").mkdir(parents=True)
    (tmp_path / "components" / "new" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text('[tool.setuptools]\npackages = ["components"]\n')
    assert list(preflight.of_code(pipeline(), [], tmp_path)) == [
        "components.new is not among the packages of pyproject.toml: workers would not have it"
    ]


def test_code_that_is_neither_a_checkout_nor_installed(tmp_path: Path) -> None:
    complaints = preflight.of_code(pipeline(), [], tmp_path, "seqline-that-is-not-installed")
    assert list(complaints) == [
        f"the code cannot be packed: {tmp_path} has no setup.py and is not an installed package;"
        " name one by -- --setup_file=..."
    ]


def test_versions_that_differ(cloud: FakeCloud, tmp_path: Path) -> None:
    here = shipping.python()
    name = "registry/beam_python3.10_sdk:2.60.0"
    assert problems(cloud, f"--sdk_container_image={name}") == [
        (
            f"the image {name} has Python 3.10, this machine {here}: build it from this version, or"
            " run from that one"
        ),
        (
            f"the image {name} has apache-beam 2.60.0, this machine 2.77.0: build it from this"
            " version, or run from that one"
        ),
    ]

    (tmp_path / "pins.txt").write_text("numpy==1.0\npydantic\nnobody-has-this==1\n")
    (problem,) = problems(cloud, f"--requirements_file={tmp_path}/pins.txt")
    assert problem.startswith(f"{tmp_path}/pins.txt asks for numpy 1.0; here it is 2.")


def test_what_an_image_says() -> None:
    labels = {
        "seqline.python": "3.12",
        "seqline.beam": "2.77.0",
        "seqline.pins": "abc",
        "other": "x",
    }

    assert image_facts("registry/worker:py3.11", lambda image: labels) == {
        "python": "3.12",
        "beam": "2.77.0",
        "pins": "abc",
    }
    assert image_facts("registry:5000/a/worker:1-py3.11-beam2.76.0", lambda image: {}) == {
        "python": "3.11",
        "beam": "2.76.0",
    }
    assert image_facts("apache/beam_python3.11_sdk:2.77.0@sha256:ab", lambda image: {}) == {
        "python": "3.11",
        "beam": "2.77.0",
    }
    assert image_facts("registry/happy3.9000/worker:latest", lambda image: {}) == {}


def test_everything_is_told_at_once_without_beam_or_tensorflow(
    cloud: FakeCloud, tmp_path: Path
) -> None:
    code = """
import sys
from pipeline.cli.app import main
sys.argv = ["seqline", "run", "bbc_news", "--runner=DataflowRunner", "--region=r"]
sys.argv += ["--temp_location=gs://bukket/t", "--set", "example_gen.source=a.csv"]
sys.argv += ["--set", "bulk_inferrer.source=b.csv"]
try:
    main()
finally:
    print(sorted({"apache_beam", "tensorflow", "keras"} & set(sys.modules)))
"""

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )

    assert (done.returncode, done.stdout) == (2, "[]\n")
    first, *rest = done.stderr.splitlines()
    assert first == "error: 6 things stand in the way of Dataflow; nothing was submitted:"
    assert [line[:30] for line in rest] == [
        "  - --project is missing: the ",
        "  - root 'artifacts' is a fold",
        "  - example_gen.source 'a.csv'",
        "  - serving_dir 'serving_dir/b",
        "  - bulk_inferrer.source 'b.cs",
        "  - temp_location gs://bukket/",
    ]


def test_a_dry_run_prints_the_jobs_and_sends_none(
    cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.gcs.put(
        "bucket", "rows.jsonl", b'{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
    )
    source = [
        "--set",
        "example_gen.source=gs://bucket/rows.jsonl",
        f"--root={ROOT}",
        "--to",
        "transform",
    ]

    app(
        [
            "run",
            "bbc_news",
            *source,
            *cloud.flags[:4],
            "--dry-run",
            "--",
            *cloud.flags[4:],
            "--max_num_workers=3",
        ],
        standalone_mode=False,
    )

    first, *others = json.loads(capsys.readouterr().out)
    assert [job["stage"] for job in (first, *others)] == [
        "example_gen",
        "statistics_gen",
        "transform",
    ]
    assert first["job_name"].startswith("seqline-example-gen-")
    assert {
        "--max_num_workers=3",
        f"--setup_file={CHECKOUT}/setup.py",
        "--labels=seqline_component=example_gen",
    } <= set(first["flags"])
    assert cloud.dataflow.jobs == []
    assert [request for request in cloud.gcs.requests if request.startswith("POST")] == []


def install_wheel(root: Path, folder: Path) -> Path:
    """Builds a wheel of a checkout, and returns the folder that it is installed in.

    An environment made by uv has no pip. A wheel of pure Python is an archive of the files to
    install, so extracting it does the same.
    """
    source = folder / "source"
    for name in ("components", "pipeline", "seqline", "serving"):
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)

    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "bdist_wheel"],
        cwd=source,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next((source / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(folder / "installed")
    return folder / "installed"


def test_the_code_of_a_wheel_is_shipped_whole(tmp_path: Path) -> None:
    """An installed wheel has no setup.py: one is made from the installed files."""
    root = shipping.checkout()
    assert root
    installed = install_wheel(root, tmp_path)

    code = (
        "from pathlib import Path; from seqline.jobs import shipping; Path('made').mkdir();"
        " print(shipping.setup_file(Path('made')))"
    )
    environment = os.environ | {"PYTHONPATH": str(installed)}
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.strip() == str(tmp_path / "made" / "setup.py")

    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "sdist"],
        cwd=tmp_path / "made",
        check=True,
        capture_output=True,
    )
    with tarfile.open(next((tmp_path / "made" / "dist").glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        str(path.relative_to(root))
        for top in ("components", "pipeline", "seqline", "serving")
        for path in (root / top).rglob("*.py")
    }

    assert sources | {"pipeline/configs/bbc_news.toml"} <= packed
