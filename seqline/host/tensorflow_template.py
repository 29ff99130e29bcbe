"""A process with TensorFlow and nothing else, from which programs are forked.

`seqline.host.plain_tensorflow` starts it and asks it. `python -I tensorflow_template.py SCRIPT`
runs one script in a process of its own, which finds the same modules. So this file imports nothing
of the house.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

# TensorFlow imports these where it finds them, and Keras brings scikit-learn and pandas along.
FOUND_BY_TENSORFLOW = frozenset({"keras", "tf_keras", "scipy", "googleapiclient"})
# What a server of SavedModels does not have.
ABSENT = FOUND_BY_TENSORFLOW | {
    "components",
    "pipeline",
    "seqline",
    "tensorflow_transform",
    "tfx_bsl",
    "tensorflow_text",
    "apache_beam",
}
# A program that is a module of the house. The others do not find it.
SERVER = "serving"
# Of a program: its standard input, its output, and where its end is told.
NUM_FILES = 3
LARGEST_REQUEST = 1 << 16
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15


class Without:
    """A finder of modules that does not find some."""

    def __init__(self, finder: Any, absent: frozenset[str]) -> None:
        self.finder, self.absent = finder, absent

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] in self.absent:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)  # It finds the versions of packages, too.


def hide(absent: frozenset[str]) -> None:
    """From here on an import does not find these modules. Those that are loaded are forgotten."""
    sys.meta_path[:] = [Without(finder, absent) for finder in sys.meta_path]
    for name in list(sys.modules):
        if name.partition(".")[0] in absent:
            del sys.modules[name]


def serve(requests: socket.socket, parent: int) -> NoReturn:
    """The template: forks a program for each request, until its parent has ended.

    Args:
        requests: A socket with a message for each request: JSON, and NUM_FILES descriptors. The
            answer is the program's id.
        parent: The process that forked this one.
    """
    code = 1
    try:
        _end_with(parent, signal.SIGKILL)
        _set_name("seqline-tf")
        _close_files({0, 1, 2, requests.fileno()})
        hide(ABSENT | {"__mp_main__"})
        gc.collect()
        gc.freeze()  # A collection would write to the pages that programs share with it.
        _answer(requests)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _answer(requests: socket.socket) -> None:
    template = os.getpid()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    endings: dict[int, int] = {}  # id of a program -> where its exit code is told

    while True:
        ready, _, _ = select.select([requests.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 1 << 10)
            _tell_endings(endings)
        if requests.fileno() not in ready:
            continue

        message, files, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, NUM_FILES)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            _become(json.loads(message), files, template)

        stdin, output, endings[pid] = files
        os.close(stdin)
        os.close(output)
        requests.send(str(pid).encode())


def _tell_endings(endings: dict[int, int]) -> None:
    for pid in list(endings):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(BrokenPipeError):
                os.write(endings[pid], str(os.waitstatus_to_exitcode(status)).encode())
            os.close(endings.pop(pid))


def _become(request: dict[str, Any], files: list[int], template: int) -> NoReturn:
    """Runs a program in this copy of the template as Python runs it from its start."""
    code: Any = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _end_with(template, signal.SIGTERM)
        os.setsid()
        _set_name(request["name"])

        stdin, output, _ = files
        os.dup2(stdin, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _close_files({0, 1, 2})
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)

        os.chdir(request["folder"])
        os.environ.update(request["environment"])
        gc.unfreeze()
        run(request["program"], request["arguments"])
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run(program: str, arguments: list[str]) -> None:
    """Runs a script by its path, or the module SERVER."""
    sys.argv = [program, *arguments]
    installed = [path for path in sys.path if path and _is_installed(Path(path).resolve())]
    if program == SERVER:
        given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:] = [str(Path(__file__).parents[2]), *given, *installed]
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path[:] = installed
        hide(frozenset({SERVER}))
        runpy.run_path(program, run_name="__main__")


def _is_installed(path: Path) -> bool:
    """Whether a folder of modules is Python's own or one of packages."""
    return path.is_relative_to(sys.prefix) or path.is_relative_to(sys.base_prefix)


def _set_name(name: str) -> None:
    """Tells `ps` what this process is; at most 15 letters."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())


def _end_with(parent: int, number: int) -> None:
    """Has the system send this process a signal when the process that forked it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def _close_files(kept: set[int]) -> None:
    """Closes all other descriptors: someone may wait for the end of a pipe among them."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def main() -> None:
    hide(ABSENT)
    importlib.import_module("tensorflow")
    run(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    main()
