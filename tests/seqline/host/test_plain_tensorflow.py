"""Programs with TensorFlow alone: forked from a template, or as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from seqline.host import plain_tensorflow
from tests.support import CHECKOUT

linux = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")

# What a program says of itself. It answers a line of its standard input.
PROGRAM = """
import json, os, sys, threading
import tensorflow as tf

def error_of(name):
    try:
        __import__(name)
    except ImportError as error:
        return str(error)

asked = sys.stdin.readline().strip()
if asked == "exit":
    sys.exit(3)
if asked == "raise":
    raise ValueError("one line")
if asked == "wait":
    print("waiting", flush=True)
    threading.Event().wait()

roots = {name.partition(".")[0] for name in sys.modules}
print(json.dumps({
    "asked": asked,
    "loaded": sorted(roots & {"seqline", "components", "pipeline", "serving", "keras", "tf_keras",
        "pydantic", "sklearn", "pandas", "apache_beam"}),
    "errors": [error_of(name) for name in ("seqline", "serving", "keras", "tensorflow_transform")],
    "sum": float(tf.reduce_sum(tf.constant([1.0, 2.0]))),
    "folder": os.getcwd(),
    "devices": os.environ["CUDA_VISIBLE_DEVICES"],
    "argv": sys.argv,
    "checkout": [path for path in sys.path if path == CHECKOUT],
}))
"""
# Runs the programs that its standard input names, each with a line to answer.
PARENT = """
import json, os, sys, time
from pathlib import Path
from seqline.host import plain_tensorflow

script, folder = Path(sys.argv[1]), Path(sys.argv[2])
plain_tensorflow.start_template()
template = plain_tensorflow.template()

def run(asked):
    with open(folder / "output", "w+b") as output:
        program = plain_tensorflow.start(script, "seqline-test", output, folder)
        program.stdin.write(asked + chr(10))
        program.stdin.close()
        code = program.wait()
        output.seek(0)
        return type(program).__name__, code, output.read().decode()

names = [(Path("/proc", str(template.pid), "task", task, "comm")).read_text().strip()
         for task in os.listdir(f"/proc/{template.pid}/task")]
results = {"threads": names, "keras": "keras" in sys.modules}
for asked in ("hello", "exit", "raise"):
    results[asked] = run(asked)

with open(folder / "output", "w+b") as output:
    program = plain_tensorflow.start(script, "seqline-test", output, folder)
    program.stdin.write("wait" + chr(10))
    program.stdin.flush()
    while not (folder / "output").read_bytes().endswith(b"waiting" + b"\\n"):
        time.sleep(0.01)
    results["name"] = Path(f"/proc/{program.pid}/comm").read_text().strip()
    results["running"] = program.poll()
    program.kill()
    results["killed"] = program.wait()

os.kill(template.pid, 9)
while plain_tensorflow.template():
    time.sleep(0.01)
results["without"] = run("again")
print(json.dumps(results))
"""
KILLED = """
import sys, time
from pathlib import Path
from seqline.host import plain_tensorflow

plain_tensorflow.start_template()
output = open(Path(sys.argv[2], "output"), "wb")
program = plain_tensorflow.start(Path(sys.argv[1]), "seqline-test", output, Path(sys.argv[2]))
program.stdin.write("wait" + chr(10))
program.stdin.flush()
print(plain_tensorflow.template().pid, program.pid, flush=True)
time.sleep(1000)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.replace("CHECKOUT", repr(str(CHECKOUT))))
    return path


def says(asked: str, script: Path, folder: Path) -> dict[str, Any]:
    return {
        "asked": asked,
        "loaded": [],
        "errors": [
            f"No module named '{name}'"
            for name in ("seqline", "serving", "keras", "tensorflow_transform")
        ],
        "sum": 3.0,
        "folder": str(folder),
        "devices": "-1",
        "argv": [str(script)],
        "checkout": [],
    }


@linux
def test_programs_of_a_template(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout)

    # None is TensorFlow's: a fork keeps the thread that forks, and NumPy's library makes new ones.
    assert results["threads"] == ["seqline-tf"]
    assert results["keras"]
    assert (results["name"], results["running"], results["killed"]) == ("seqline-test", None, -9)

    kind, code, output = results["hello"]
    assert (kind, code) == ("Program", 0), output
    assert json.loads(output.splitlines()[-1]) == says("hello", script, tmp_path)
    kind, code, output = results["exit"]
    assert (kind, code, output) == ("Program", 3, "")
    kind, code, output = results["raise"]
    assert (kind, code, output.splitlines()[-1]) == ("Program", 1, "ValueError: one line")

    # Once the template has ended, programs are processes of their own.
    kind, code, output = results["without"]
    assert (kind, code) == ("Popen", 0), output
    own = json.loads(output.splitlines()[-1])
    assert own == says("again", script, tmp_path)


@linux
def test_they_die_with_a_process_that_is_killed(script: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        process.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 60
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(is_alive(pid) for pid in pids)


def is_alive(pid: int) -> bool:
    """A process that nobody waits for stays as a zombie, which is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_has_tensorflow_forks_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", sys)  # as if it had run something
    plain_tensorflow.start_template()
    assert plain_tensorflow.template() is None
