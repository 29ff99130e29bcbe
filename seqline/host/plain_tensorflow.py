"""Starts programs that have TensorFlow and nothing else: no seqline, no Keras, nothing they bring.

TensorFlow's import is most of what such a program costs, and a run has two, the exporter's check
and the infra_validator's server. So a worker imports TensorFlow alone, before it does anything, and
forks a process from which the programs are forked:

    worker        imports TensorFlow, forks, imports Keras, runs stages
      template    forgets seqline, finds no Keras, waits (`seqline.host.tensorflow_template`)
        program   exporter's check
        program   server

A fork copies what the import has made: modules and registered operations. TensorFlow has run
nothing by then: there is no context, no device, and none of its threads. Each program makes its
own. Where there is no template, a program is a new process that imports TensorFlow by itself.
"""

import contextlib
import importlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO

from seqline.host import tensorflow_template
from seqline.host.tensorflow_template import FOUND_BY_TENSORFLOW, Without


class Program:
    """A program that was forked from the template, with the methods of a `subprocess.Popen`.

    Args:
        pid: Its id.
        ending: The pipe from which its exit code is read.
        stdin: The pipe to its standard input, if it has one.
    """

    def __init__(self, pid: int, ending: int, stdin: IO[str] | None) -> None:
        self.pid = pid
        self.stdin = stdin
        self.returncode: int | None = None
        self._ending = ending

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired if it has not ended by then."""
        if self.returncode is not None:
            return self.returncode
        if not select.select([self._ending], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)

        code = os.read(self._ending, 16)
        os.close(self._ending)
        # No code: the template was killed, and its programs with it.
        self.returncode = int(code) if code else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Template:
    """The process from which programs are forked.

    Attributes:
        import_seconds: How long the import of TensorFlow took, which its programs are spared.
        import_bytes: What it has read into memory of libraries' files. A fork has that memory, too,
            but the system does not count it as its own.
    """

    def __init__(
        self, pid: int, requests: socket.socket, import_seconds: float, import_bytes: int
    ) -> None:
        self.pid, self.requests = pid, requests
        self.import_seconds, self.import_bytes = import_seconds, import_bytes
        # Waiting for it accounts its programs' CPU seconds to this process, as for other children.
        Finalize(None, self.close, exitpriority=10)

    def fork(
        self,
        program: str,
        arguments: list[str],
        name: str,
        output: IO[bytes],
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        asks: bool = False,
    ) -> Program:
        """Starts a program. The system ends it when the template ends, thus with this process.

        Args:
            program: The path of a script, or `tensorflow_template.SERVER`.
            arguments: Those of its command line.
            name: What `ps` calls it, at most 15 letters.
            output: The file of what it prints.
            environment: The variables that it has beyond the template's.
            folder: Where it runs; None for the folder of this process.
            asks: Its standard input is a pipe, not an empty file.

        Raises:
            OSError: The template has ended.
        """
        request = {
            "program": program,
            "arguments": arguments,
            "name": name,
            "environment": dict(environment),
            "folder": str(folder or Path.cwd()),
        }
        ending, told = os.pipe()
        stdin, pipe = os.pipe() if asks else (os.open(os.devnull, os.O_RDONLY), None)
        try:
            files = [stdin, output.fileno(), told]
            socket.send_fds(self.requests, [json.dumps(request).encode()], files)
            pid = self.requests.recv(16)
            if not pid:
                raise ConnectionResetError("the template has ended")
        except OSError:
            os.close(ending)
            if pipe is not None:
                os.close(pipe)
            raise
        finally:
            os.close(stdin)
            os.close(told)

        return Program(
            int(pid), ending, None if pipe is None else open(pipe, "w", encoding="utf-8")
        )

    def close(self) -> None:
        """Ends it, with its programs."""
        self.requests.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


_template: Template | None = None


def template() -> Template | None:
    """The template of this process; None if it has none, or if that has ended."""
    global _template
    if _template is not None:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(_template.pid, os.WNOHANG) == (0, 0):
                return _template
        _template = None
    return None


def start_template() -> None:
    """Imports TensorFlow in this process, and forks the template where a fork is safe (Linux).

    To be called before this process has threads. Where TensorFlow cannot be imported nothing
    happens: the stage that needs it will say so.
    """
    global _template
    if sys.platform != "linux" or "tensorflow" in sys.modules:
        return

    started = time.monotonic()
    try:
        with _tensorflow_alone():
            importlib.import_module("tensorflow")
        _template = _fork_template(time.monotonic() - started)
    except Exception:
        return

    # TensorFlow's import ends so.
    with contextlib.suppress(ImportError, AttributeError):
        importlib.import_module("keras.src.optimizers")


def _fork_template(import_seconds: float) -> Template:
    requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    with theirs, warnings.catch_warnings():
        # Python 3.12 warns of the threads of NumPy's library of matrices, which is made for forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
        if pid == 0:
            tensorflow_template.serve(theirs, parent)

    status = Path("/proc/self/status").read_text()
    resident = re.search(r"^RssFile:\s+(\d+) kB", status, re.MULTILINE)
    return Template(pid, requests, import_seconds, int(resident[1]) * 1024 if resident else 0)


@contextlib.contextmanager
def _tensorflow_alone() -> Iterator[None]:
    """Within the block an import does not find the modules of FOUND_BY_TENSORFLOW."""
    sys.meta_path[:] = [Without(finder, FOUND_BY_TENSORFLOW) for finder in sys.meta_path]
    try:
        yield
    finally:
        # A library, such as six, may have added a finder of its own.
        sys.meta_path[:] = [
            finder.finder if isinstance(finder, Without) else finder for finder in sys.meta_path
        ]


def start(script: Path, name: str, output: IO[bytes], folder: Path) -> Program | subprocess.Popen:
    """Starts a script that has TensorFlow and nothing else. Its standard input is a pipe.

    Args:
        script: Its file. It imports the standard library, TensorFlow, and what that imports.
        name: What `ps` calls it, at most 15 letters.
        output: The file of what it prints.
        folder: Where it runs.
    """
    environment = {"CUDA_VISIBLE_DEVICES": "-1"}  # Its answers are compared with a CPU's.
    if ready := template():
        with contextlib.suppress(OSError):
            return ready.fork(
                str(script), [], name, output, environment=environment, folder=folder, asks=True
            )

    return subprocess.Popen(
        [sys.executable, "-I", tensorflow_template.__file__, str(script)],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        cwd=folder,
        env={**os.environ, **environment},
        text=True,
    )
