"""The recipes for Airflow and Kubeflow Pipelines: compiled, and their commands executed."""

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli.app import app
from tests.support import CHECKOUT
from tests.support.commands import commands_of

AIRFLOW = CHECKOUT / "deploy" / "airflow_dag.py"
KUBEFLOW = CHECKOUT / "deploy" / "kubeflow_pipeline.py"
# The exit codes of `seqline retrain`, one a call -> that of the task, the calls.
ENDS = [
    ([0], 0, 1),
    ([50, 50, 0], 0, 3),
    ([50, 50, 50], 50, 3),
    ([20], 20, 1),
    ([30], 30, 1),
    ([2], 2, 1),
]


class Shell:
    """A folder with a `seqline` that ends with the codes that it is given, and notes its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seqline = folder / "seqline"
        self.seqline.write_text(
            "#!/bin/bash\n"
            f'cd {folder}; printf "%s\\n" "$*" >> calls\n'
            'code=$(head -n 1 codes); sed -i 1d codes; exit "$code"\n'
        )
        self.seqline.chmod(0o755)

    def run(self, codes: list[int], *command: str) -> tuple[int, list[str]]:
        (self.folder / "codes").write_text("".join(f"{code}\n" for code in codes))
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True)
        assert done.stderr == b""
        return done.returncode, (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def check_call(call: str) -> None:
    """The options of a call are those of the command."""
    name, *rest = call.split()
    known = {option for parameter in commands_of(app)[name].params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


# Airflow


def constants(path: Path) -> dict[str, Any]:
    """The module's texts, by name, without an import of what it imports."""
    values: dict[str, Any] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            code = compile(ast.Expression(node.value), str(path), "eval")
            values[node.targets[0].id] = eval(code, dict(values))
    return values


@pytest.mark.parametrize(("codes", "expected", "calls"), [*ENDS, ([10], 10, 1), ([40], 40, 1)])
def test_airflows_task_ends_as_the_command_does(
    shell: Shell, codes: list[int], expected: int, calls: int
) -> None:
    found = constants(AIRFLOW)
    line = found["RETRAIN"].replace(found["SEQLINE"], str(shell.seqline))
    for name in ("config", "root", "serving_dir"):
        line = line.replace(f"{{{{ var.value.seqline_{name} }}}}", f"my_{name}")
    call = "retrain --config my_config --root my_root --serving-dir my_serving_dir --set"
    code, called = shell.run(codes, "bash", "-c", line)
    assert (code, called) == (expected, [f"{call} pusher.label=canary"] * calls)
    check_call(called[0])


def test_airflow_skips_what_is_nothing_new_and_what_is_busy() -> None:
    [skipped] = [
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(AIRFLOW.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "skip_on_exit_code"
    ]
    assert skipped == [10, 40]


def test_airflow_reads_the_dag(tmp_path: Path) -> None:
    if find_spec("airflow") is None:
        pytest.skip("apache-airflow is not installed: its packages do not resolve with seqline's")
    code = (
        "from airflow.dag_processing.dagbag import DagBag;"
        f" bag = DagBag({str(AIRFLOW)!r}); assert not bag.import_errors, bag.import_errors;"
        " print([task.task_id for task in bag.dags['seqline_retrain'].tasks])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "['retrain', 'promote']"


# Kubeflow


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("kubeflow") / "seqline.yaml"
    done = subprocess.run([sys.executable, KUBEFLOW, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(path.read_text())


def test_kubeflow_promotes_what_was_pushed_and_nothing_else(compiled: dict[str, Any]) -> None:
    assert compiled["pipelineInfo"]["name"] == "seqline-retrain"
    tasks = compiled["root"]["dag"]["tasks"]
    assert tasks["retrain"]["cachingOptions"] == {}
    condition = tasks["condition-1"]["triggerPolicy"]["condition"]
    assert condition == "inputs.parameter_values['pipelinechannel--retrain-code'] == '0'"
    assert list(compiled["components"]["comp-condition-1"]["dag"]["tasks"]) == ["promote"]

    executors = compiled["deploymentSpec"]["executors"]
    deployment = (CHECKOUT / "deploy" / "serving.yaml").read_text()
    for executor in executors.values():
        assert f"image: {executor['container']['image']}\n" in deployment
    promote = executors["exec-promote"]["container"]
    assert promote["command"] == ["seqline"]
    check_call(" ".join(promote["args"]))


@pytest.mark.parametrize(("codes", "expected", "calls"), [*ENDS, ([10], 0, 1), ([40], 0, 1)])
def test_kubeflows_container_ends_as_it_should(
    compiled: dict[str, Any], shell: Shell, codes: list[int], expected: int, calls: int
) -> None:
    container = compiled["deploymentSpec"]["executors"]["exec-retrain"]["container"]
    assert [argument.split("'")[1] for argument in container["args"]] == [
        "config",
        "root",
        "serving_dir",
        "code",
    ]
    output = shell.folder / "tmp" / "outputs" / "code"
    given = ["my config.toml", "root", "serving_dir", str(output)]

    code, called = shell.run(codes, *container["command"], *given)
    call = "retrain --config my config.toml --root root --serving-dir serving_dir --set"
    assert (code, called) == (expected, [f"{call} pusher.label=canary"] * calls)
    assert output.read_text() == str(codes[-1])
    check_call(called[0])
