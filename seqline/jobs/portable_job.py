"""One job on a portable runner: submitted, watched, cancelled with the run, its failure explained.

Not by Beam's own `wait_until_finish`: its streams end after --job_server_timeout, with them a job
of more than five minutes, and it leaves a job running when the command is stopped.
"""

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from seqline.errors import LostWorkerError, StoppedError, UserError
from seqline.jobs import dataflow, portable
from seqline.jobs.pool_workers import PoolWorkers
from seqline.jobs.portable import StopSignal

log = logging.getLogger("seqline.beam")

State = beam_job_api_pb2.JobState
ENDED = (State.DONE, State.DRAINED, State.UPDATED, State.FAILED, State.CANCELLED)
MAX_POLL_SECONDS = 1.0
ANSWER_SECONDS = 5.0
# A server that is gone refuses connections; one that is only busy accepts them.
GONE_SECONDS = 10.0
BUSY_SECONDS = 120.0
START_SECONDS = 15.0
CANCEL_SECONDS = 12.0
MESSAGE_SECONDS = 5.0
# Of a Prism whose command was killed.
IDLE = "60s"
AGAIN = "Run the same command again: it goes on from there."
# What engines say when the fault is a machine's, not the code's.
LOST = (
    "disconnected",
    "UNAVAILABLE",
    "Connection refused",
    "Connection reset",
    "Socket closed",
    "context canceled",
    "Broken pipe",
    "heartbeat",
    "TaskManager",
    "lost",
    "failed to connect",
    "SDK worker",
    "SDK harness",
    "unable to start",
)


def run(pipeline: Any, beam_args: Sequence[str]) -> None:
    """Submits a job and waits until it is done.

    A process that SIGTERM would end cancels the job first, waits until it is gone, and is then
    ended by the signal.

    Raises:
        DataError or UserError: what a worker raised.
        LostWorkerError: a worker, the engine or the job server was lost.
        StoppedError: somebody else cancelled the job.
        dataflow.JobFailedError: the engine refused it.
        RuntimeError: a bug in a worker, with the worker's traceback.
    """
    name = portable.runner(beam_args)
    pool = portable.worker_pool(beam_args)
    workers = PoolWorkers() if pool and portable.is_here(pool) else None

    with _stop_signal() as stop, _engine(beam_args) as endpoint:
        if endpoint:
            pipeline.options.view_as(PortableOptions).job_endpoint = endpoint
        where = f"{name} at {endpoint or dataflow.option(beam_args, 'job_endpoint') or 'its own'}"
        try:
            result = pipeline.run()
        except (grpc.RpcError, grpc.FutureTimeoutError) as error:
            raise LostWorkerError(
                f"{where} did not take the job: {_short(str(error))}. {AGAIN}"
            ) from None
        except (ValueError, RuntimeError) as error:  # a flag, or a file that one names
            log.info("the job was refused", exc_info=True)
            reason = _short(str(error)).rstrip(".")
            raise UserError(f"Beam refuses the job for {name}: {reason}.") from None

        job = Job(where, result._job_service, result._job_id, workers)
        try:
            job.wait(stop)
        finally:
            with suppress(Exception):  # its threads may be half gone; the job has ended
                result._cleanup()


@dataclass
class Job:
    """A job that has been submitted.

    Attributes:
        where: the engine, for messages.
        service: the job server's stub, or an object with its methods.
        job: the job's id.
        workers: those of its worker pool, if that is on this machine.
        errors: the texts of the engine's error messages.
        silent_since: since when the server has not answered.
    """

    where: str
    service: Any
    job: str
    workers: PoolWorkers | None
    errors: list[str] = field(default_factory=list)
    silent_since: float | None = None

    def wait(self, stop: StopSignal) -> None:
        """Waits until the job is done. Returns early, with the job cancelled, after a signal."""
        messages = threading.Thread(target=self._read_messages, daemon=True)
        messages.start()

        pause, state = 0.05, State.UNSPECIFIED
        while state not in ENDED:
            state = self._state()
            if stop.by:
                self.cancel()
                return
            if self.workers and self.workers.is_one_lost(self.job):
                self.cancel()
                raise LostWorkerError(f"A worker of the job on {self.where} is gone. {AGAIN}")
            time.sleep(pause)
            pause = min(1.3 * pause, MAX_POLL_SECONDS)

        if state in (State.DONE, State.DRAINED):
            return
        messages.join(MESSAGE_SECONDS)
        if state == State.CANCELLED and not self.errors:
            raise StoppedError("while a job ran", f"its being cancelled on {self.where}")
        raise failure(self.where, self.errors)

    def cancel(self) -> None:
        """Cancels the job, and waits until it and its workers are gone."""
        deadline = time.monotonic() + CANCEL_SECONDS
        try:
            self._call(self.service.Cancel, beam_job_api_pb2.CancelJobRequest(job_id=self.job))
            request = beam_job_api_pb2.GetJobStateRequest(job_id=self.job)
            while self._call(self.service.GetState, request).state not in ENDED:
                if time.monotonic() > deadline:
                    log.warning(
                        "the job %s on %s does not end: cancel it there", self.job, self.where
                    )
                    break
                time.sleep(0.1)
        except grpc.RpcError as error:
            log.warning("the job %s on %s: %s", self.job, self.where, _short(str(error)))
        if self.workers:
            self.workers.end(self.job)

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        is_remote = isinstance(self.service, beam_job_api_pb2_grpc.JobServiceStub)
        return method(request, timeout=ANSWER_SECONDS) if is_remote else method(request)

    def _state(self) -> int:
        """The job's state; that of a running job while the server is silent for a short time."""
        request = beam_job_api_pb2.GetJobStateRequest(job_id=self.job)
        try:
            state = int(self._call(self.service.GetState, request).state)
        except grpc.RpcError as error:
            now = time.monotonic()
            self.silent_since = self.silent_since or now
            is_busy = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if now > self.silent_since + (BUSY_SECONDS if is_busy else GONE_SECONDS):
                if self.workers:
                    self.workers.end(self.job)
                raise LostWorkerError(
                    f"{self.where} does not answer any more ({_short(str(error.details()))})."
                    f" {AGAIN}"
                ) from None
            return int(State.RUNNING)

        self.silent_since = None
        return state

    def _read_messages(self) -> None:
        request = beam_job_api_pb2.JobMessagesRequest(job_id=self.job)
        with suppress(grpc.RpcError, ValueError):
            for message in self.service.GetMessageStream(request):
                response = message.message_response
                if response.importance == beam_job_api_pb2.JobMessage.JOB_MESSAGE_ERROR:
                    self.errors.append(response.message_text)


def failure(where: str, errors: Sequence[str]) -> BaseException:
    """The error of a job that failed, by the engine's messages."""
    tracebacks = [error for error in errors if "Traceback" in error]
    text = (tracebacks or [*errors] or ["no reason was given"])[-1]
    if raised := dataflow.raised_by_worker(text):
        return raised

    if module := dataflow.missing_module(text):
        return dataflow.JobFailedError(
            f"A worker of the job on {where} has no module {module!r}. Its worker pool or image"
            " needs the same packages as this command, and seqline: start the pool with this"
            " environment's Python, in this folder."
        )

    if "[while running " in text:
        return RuntimeError(text)
    if any(word in text for word in LOST):
        return LostWorkerError(f"A worker of the job on {where} was lost: {_short(text)}. {AGAIN}")
    return dataflow.JobFailedError(f"The job on {where} failed: {_short(text)}.")


def _short(text: str) -> str:
    """The last line that says something, of a traceback or of one line."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    telling = [line for line in lines if line and line not in (">", ")")]
    details = [line for line in telling if line.startswith("details = ")]
    line = (details or telling or ["no reason was given"])[-1]
    return line.removeprefix("details = ").strip('".')[-300:]


@contextmanager
def _stop_signal() -> Iterator[StopSignal]:
    """Notes SIGTERM in the block, after which it ends this process.

    Only where it would have ended the process at once: in the process of a stage.
    """
    stop = StopSignal()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield stop
        return

    signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if stop.by:
            _end_job_servers()
            os.kill(os.getpid(), signal.SIGTERM)


def _end_job_servers() -> None:
    """Ends the Java job servers that Beam started: it would at this process's orderly end."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            with suppress(OSError):
                if b"--artifacts-dir" in Path("/proc", pid, "cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGTERM)


@contextmanager
def _engine(beam_args: Sequence[str]) -> Iterator[str]:
    """The address of a Prism that runs until the block ends; "" where another engine is named."""
    if portable.runner(beam_args) != "PrismRunner" or dataflow.option(beam_args, "job_endpoint"):
        yield ""
        return

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = int(free.getsockname()[1])
    level = dataflow.option(beam_args, "prism_log_level") or "warn"
    command = [
        str(portable.prism(beam_args)),
        f"--job_port={port}",
        "--serve_http=false",
        "--log_kind=text",
        f"--log_level={level}",
        f"--idle_shutdown_timeout={IDLE}",
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for_start(process, port, command[0])
        yield f"localhost:{port}"
    finally:
        process.terminate()
        try:
            process.wait(MESSAGE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_start(process: subprocess.Popen[bytes], port: int, binary: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError):
            socket.create_connection(("localhost", port), 1.0).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            code = process.returncode
            how = "no answer" if code is None else f"exit code {code}"
            raise UserError(
                f"Prism does not start ({how}): {binary} is not Prism, or of another version."
                " The run's log has its messages."
            )
        time.sleep(0.05)
