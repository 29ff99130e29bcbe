"""Jobs on Google Cloud Dataflow: their flags and names, and its REST API to watch and cancel them.

Imports neither Beam nor TensorFlow, and google-auth only when a request is made.

A job's name tells which artifact it makes. A run that is killed leaves its job running; the next
run finds the job by its name and waits for it.
"""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from seqline.errors import DataError, StoppedError, UnfinishedError, UserError

log = logging.getLogger("seqline.dataflow")
# Between INFO and WARNING, so shown without --verbose: what was submitted, where it can be seen,
# how it ended.
NOTE = 25

RUNNERS = ("DataflowRunner", "TestDataflowRunner")
ENDPOINT = "https://dataflow.googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# A user waits for the first answer, so it must come soon. While a job runs, the service may be away
# for longer: the job goes on without us.
FIRST_ANSWER_SECONDS = 10.0
WATCH_SECONDS = 900.0
TIMEOUT = (5.0, 30.0)  # seconds to connect, seconds to read
FIRST_POLL_SECONDS = 0.5
MAX_POLL_SECONDS = 10.0
# The service tells a job's failure before the reason for it.
REASON_SECONDS = 45.0
ACTIVE = (
    "JOB_STATE_PENDING",
    "JOB_STATE_QUEUED",
    "JOB_STATE_RUNNING",
    "JOB_STATE_DRAINING",
    "JOB_STATE_CANCELLING",
)
DONE = "JOB_STATE_DONE"
FAILED = "JOB_STATE_FAILED"
LINK = "https://console.cloud.google.com/dataflow/jobs/{region}/{job}?project={project}"


class JobFailedError(UserError):
    """A job failed for a reason that is not in the data.

    The message holds the job's last error and the link to it.
    """

    exit_code = 1


def option(beam_args: Sequence[str], name: str) -> str | None:
    """The value of the last `--name=value` or `--name value`; None without one."""
    return next(reversed(options(beam_args, name)), None)


def options(beam_args: Sequence[str], name: str) -> list[str]:
    """The values of every `--name=value` and `--name value`."""
    values = []
    for number, arg in enumerate(beam_args):
        if arg.startswith(f"--{name}="):
            values.append(arg.partition("=")[2])
        elif arg == f"--{name}" and number + 1 < len(beam_args):
            values.append(beam_args[number + 1])
    return values


def is_used(beam_args: Sequence[str]) -> bool:
    """Whether these flags send jobs to Dataflow."""
    return (option(beam_args, "runner") or "").rpartition(".")[2] in RUNNERS


def job_flags(beam_args: Sequence[str], component: str, key: str, root: str) -> tuple[str, ...]:
    """The flags with a name and labels for the job that makes an artifact.

    The name tells the artifact and its root: the same artifact under another root is another job.
    Flags for another runner than Dataflow are returned as they are.
    """
    if not is_used(beam_args):
        return tuple(beam_args)

    base = option(beam_args, "job_name") or "seqline"
    root_digest = blake2b(str(root).encode(), digest_size=3).hexdigest()
    labels = {"seqline_component": component, "seqline_key": key, "seqline_root": root_digest}
    name = f"{base}-{component}-{key}-{root_digest}".lower().replace("_", "-")
    return (
        *beam_args,
        f"--job_name={name}",
        *(f"--labels={label}={value}" for label, value in labels.items()),
    )


@dataclass
class Client:
    """Dataflow's jobs of one project and region.

    Every method raises UserError if the service gives no access or no answer.
    """

    project: str
    region: str
    endpoint: str = ENDPOINT
    seconds: float = FIRST_ANSWER_SECONDS  # how long a request is tried again
    session: Any = field(default=None, repr=False)

    def active(self, name: str) -> str | None:
        """The id of the job of this name that has not ended; None without one."""
        for job in self._all("jobs", filter="ACTIVE"):
            if job["name"] == name and _state(job) in ACTIVE:
                return str(job["id"])
        return None

    def ping(self) -> None:
        """Makes the cheapest request, to see whether the service answers this account."""
        self._request("GET", self._path("jobs"), pageSize=1)

    def state(self, job: str) -> str:
        """A job's state, e.g. JOB_STATE_RUNNING."""
        return _state(self._request("GET", self._path(f"jobs/{job}")))

    def messages(self, job: str, since: str | None = None) -> Iterator[dict[str, str]]:
        """The service's messages about a job, oldest first.

        Each has id, time, messageText and messageImportance.

        Args:
            job: the job's id.
            since: the time of the first message, as the service writes times; None for all.
        """
        query = {"minimumImportance": "JOB_MESSAGE_BASIC"}
        if since:
            query["startTime"] = since
        yield from self._all(f"jobs/{job}/messages", "jobMessages", **query)

    def counters(self, job: str) -> dict[str, int]:
        """The pipeline's own counters so far, summed over its steps."""
        answer = self._request("GET", self._path(f"jobs/{job}/metrics"))
        counters: dict[str, int] = {}
        for metric in answer.get("metrics", []):
            name = metric["name"]
            is_committed = "tentative" not in name.get("context", {})
            if name.get("origin") == "user" and is_committed and "scalar" in metric:
                counters[name["name"]] = counters.get(name["name"], 0) + int(metric["scalar"])
        return counters

    def cancel(self, job: str) -> None:
        self._request("PUT", self._path(f"jobs/{job}"), {"requestedState": "JOB_STATE_CANCELLED"})

    def link(self, job: str) -> str:
        """The console's page of a job."""
        return LINK.format(region=self.region, job=job, project=self.project)

    def _path(self, path: str) -> str:
        place = f"projects/{self.project}/locations/{self.region}"
        return f"{self.endpoint.rstrip('/')}/v1b3/{place}/{path}"

    def _all(self, path: str, kind: str = "jobs", **query: Any) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {}
        while True:
            answer = self._request("GET", self._path(path), **query, **page)
            yield from answer.get(kind, [])
            if not answer.get("nextPageToken"):
                return
            page = {"pageToken": answer["nextPageToken"]}

    def _request(self, method: str, url: str, body: Any = None, **query: Any) -> dict[str, Any]:
        import google.auth.exceptions as auth
        import requests

        deadline = time.monotonic() + self.seconds
        pause = 0.25
        while True:
            status = 0
            try:
                answer = self.session_of_account().request(
                    method, url, params=query, json=body, timeout=TIMEOUT
                )
                if answer.status_code < 400:
                    return dict(answer.json())
                status = answer.status_code
                message = _message(answer)
            except (requests.RequestException, auth.TransportError) as error:
                message = " ".join(str(error).split())[-200:]
            except auth.GoogleAuthError as error:
                raise self._no_access(str(error)) from error

            if status in (401, 403):
                raise self._no_access(f"{status}: {message}")
            if 400 <= status < 500 and status not in (408, 429):
                raise UserError(
                    f"Dataflow in {self.region} of project {self.project!r} refuses the request: "
                    f"{status}: {message}"
                )

            if time.monotonic() + pause > deadline:
                raise UserError(
                    f"Dataflow does not answer at {self.endpoint} "
                    f"({status or 'no answer'}: {message}). Check the network and run again."
                )

            time.sleep(pause)
            pause = min(2 * pause, 30.0)

    def session_of_account(self) -> Any:
        """The session that sends requests with this account's credentials."""
        if self.session is None:
            import google.auth
            from google.auth.transport.requests import AuthorizedSession

            self.session = AuthorizedSession(google.auth.default(scopes=SCOPES)[0])
        return self.session

    def _no_access(self, why: str) -> UserError:
        return UserError(
            f"Dataflow gives no access to project {self.project!r} "
            f"({' '.join(why.split())[:200]}). "
            "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS "
            "to a service account's key, and give that account the role dataflow.developer."
        )


def client(beam_args: Sequence[str]) -> Client:
    """The client of the project, region and endpoint that the flags name."""
    endpoint = option(beam_args, "dataflow_endpoint") or ENDPOINT
    return Client(option(beam_args, "project") or "", option(beam_args, "region") or "", endpoint)


def _state(job: dict[str, Any]) -> str:
    return str(job.get("currentState") or "JOB_STATE_PENDING")


def _message(answer: Any) -> str:
    try:
        return " ".join(str(answer.json()["error"]["message"]).split())[:300]
    except (ValueError, KeyError, TypeError):
        return answer.reason or "no reason given"


def watch(client: Client, job: str, name: str) -> None:
    """Waits until a job has succeeded, and logs its states, messages and counters.

    Args:
        client: the service; its patience is raised to WATCH_SECONDS.
        job: the job's id.
        name: the job's name, for the log.

    Raises:
        JobFailedError, DataError or UserError: the job failed; DataError and UserError are what its
            workers raised.
        StoppedError: the job was cancelled.
        UserError: the service has not answered for WATCH_SECONDS. The job may still run, and the
            next run finds it.
    """
    client.seconds = WATCH_SECONDS
    started = time.monotonic()
    ended: float | None = None
    pause = FIRST_POLL_SECONDS
    state = shown_counters = ""
    since: str | None = None
    seen: set[str] = set()
    errors: list[str] = []

    while True:
        new_state = client.state(job)
        for message in client.messages(job, since):
            since = max(since or "", message["time"])
            if message["id"] not in seen:
                seen.add(message["id"])
                _log_message(name, message, errors)

        if new_state != state:
            state = new_state
            short_state = state.removeprefix("JOB_STATE_").lower()
            log.log(NOTE, "%s: %s after %.0f s", name, short_state, time.monotonic() - started)

        if state not in ACTIVE and state != "JOB_STATE_UNKNOWN":
            ended = ended or time.monotonic()
            if state != FAILED or errors or time.monotonic() > ended + REASON_SECONDS:
                break

        counters = ", ".join(
            f"{counter} {value:,}" for counter, value in sorted(client.counters(job).items())
        )
        if counters and counters != shown_counters:
            shown_counters = counters
            log.info("%s: %s", name, counters)

        time.sleep(pause)
        pause = min(1.3 * pause, MAX_POLL_SECONDS)

    if state != DONE:
        raise _failure(client, job, name, state, errors)


def _log_message(name: str, message: dict[str, str], errors: list[str]) -> None:
    """Logs the last line of a message, and adds an error's whole text to `errors`."""
    text = message["messageText"]
    importance = message.get("messageImportance", "")
    if importance == "JOB_MESSAGE_ERROR":
        errors.append(text)
    level = logging.WARNING if importance == "JOB_MESSAGE_WARNING" else logging.INFO
    log.log(level, "%s: %s", name, text.strip().rpartition("\n")[2])


def _failure(
    client: Client, job: str, name: str, state: str, errors: Sequence[str]
) -> UserError | UnfinishedError:
    """The error of a job that did not succeed: what its workers raised, if the service tells it."""
    if state != FAILED:
        return StoppedError(
            f"while {name} ran",
            f"its Dataflow job being {state.removeprefix('JOB_STATE_').lower()} "
            f"({client.link(job)})",
        )

    tracebacks = [error for error in errors if "Traceback" in error]
    text = (tracebacks or errors or ["no reason was given"])[-1]

    if raised := raised_by_worker(text):
        return raised

    if module := missing_module(text):
        return JobFailedError(
            f"{name}: a worker has no module {module!r}. "
            "Its package is neither in the workers' image nor among what is shipped: add it to "
            "pyproject.toml, to the image (--sdk_container_image) or by -- --extra_package=... "
            f"({client.link(job)})"
        )

    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return JobFailedError(
        f"{name}: the Dataflow job failed: {lines[-1][:500]} ({client.link(job)})"
    )


def raised_by_worker(text: str) -> UserError | None:
    """The error of seqline's that a worker's traceback ends with; None for any other."""
    raised = re.findall(
        r"^seqline\.errors\.(\w+): (.*?)(?: \[while running .*)?$", text, re.MULTILINE
    )
    if not raised:
        return None
    kind, message = raised[-1]
    return DataError(message) if kind == "DataError" else UserError(message)


def missing_module(text: str) -> str:
    """The module that a worker could not import, "" for any other failure."""
    missing = re.findall(r"ModuleNotFoundError: No module named '([\w.]+)'", text)
    return str(missing[-1]) if missing else ""


def leave(client: Client, name: str, cancels: bool) -> str | None:
    """Cancels the job of a stopped run, or leaves it running.

    Returns:
        A sentence on what became of the job; None if no job of the name is active.
    """
    job = client.active(name)
    if job is None:
        return None

    if cancels:
        client.cancel(job)
        return f"cancelled the Dataflow job {name}"

    return (
        f"the Dataflow job {name} goes on ({client.link(job)}); the same command waits for it, and "
        f"`gcloud dataflow jobs cancel {job} --region={client.region}` ends it"
    )
