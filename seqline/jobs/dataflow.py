"""Jobs on Google Cloud Dataflow.

Their flags and names, and its REST API to find, watch and cancel them. Imports neither Beam nor
TensorFlow; google-auth when something is asked.

A job that an earlier run submitted for the same artifact is found by its name: a run that was
killed leaves it running, and the next one waits for it.
"""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from seqline.errors import DataError, StoppedError, UserError

log = logging.getLogger("seqline.dataflow")
# Said whether somebody asked for more or not: what was submitted, where it can be seen, how it
# ended.
NOTE = 25

RUNNERS = ("DataflowRunner", "TestDataflowRunner")
ENDPOINT = "https://dataflow.googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# A first answer must come soon: someone waits for it. While a job runs, the service may be away for
# longer: the job goes on without us.
FIRST_ANSWER_SECONDS = 10.0
WATCH_SECONDS = 900.0
TIMEOUT = (5.0, 30.0)
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.5, 10.0
# The reason why a job failed comes some time after its state.
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
    """A job ended in a way that is not the data's fault; its last words, and where to see more."""

    exit_code = 1


def option(beam_args: Sequence[str], name: str) -> str | None:
    """The value of the last `--name=value` or `--name value`, None where there is none."""
    found = None
    for number, arg in enumerate(beam_args):
        if arg.startswith(f"--{name}="):
            found = arg.partition("=")[2]
        elif arg == f"--{name}" and number + 1 < len(beam_args):
            found = beam_args[number + 1]
    return found


def is_used(beam_args: Sequence[str]) -> bool:
    """Whether these flags send jobs to Dataflow."""
    return (option(beam_args, "runner") or "").rpartition(".")[2] in RUNNERS


def job_flags(beam_args: Sequence[str], component: str, key: str, root: str) -> tuple[str, ...]:
    """The flags with a name and labels for the job that makes this artifact.

    As they are for another runner than Dataflow.

    The name tells which artifact is made, and where: the same one under another root is another
    job.
    """
    if not is_used(beam_args):
        return tuple(beam_args)
    base = option(beam_args, "job_name") or "seqline"
    where = blake2b(str(root).encode(), digest_size=3).hexdigest()
    labels = {"seqline_component": component, "seqline_key": key, "seqline_root": where}
    name = f"{base}-{component}-{key}-{where}".lower().replace("_", "-")
    return (
        *beam_args,
        f"--job_name={name}",
        *(f"--labels={label}={value}" for label, value in labels.items()),
    )


@dataclass
class Client:
    """Dataflow's jobs of one project and region. seconds: how long a request is tried again.

    Every method raises UserError where the service gives no access or no answer.
    """

    project: str
    region: str
    endpoint: str = ENDPOINT
    seconds: float = FIRST_ANSWER_SECONDS
    session: Any = field(default=None, repr=False)

    def active(self, name: str) -> str | None:
        """The id of the job of this name that has not ended."""
        return next(
            (
                str(job["id"])
                for job in self._all("jobs", filter="ACTIVE")
                if job["name"] == name and _state(job) in ACTIVE
            ),
            None,
        )

    def any_job(self) -> None:
        """Asks for anything: whether the service answers."""
        self._request("GET", self._path("jobs"), pageSize=1)

    def state(self, job: str) -> str:
        """E.g. JOB_STATE_RUNNING."""
        return _state(self._request("GET", self._path(f"jobs/{job}")))

    def messages(self, job: str, since: str | None = None) -> Iterator[dict[str, str]]:
        """What the service says about a job, oldest first, from a time on.

        Id, time, messageText, messageImportance.
        """
        more = {"startTime": since} if since else {}
        yield from self._all(
            f"jobs/{job}/messages", "jobMessages", minimumImportance="JOB_MESSAGE_BASIC", **more
        )

    def counters(self, job: str) -> dict[str, int]:
        """The pipeline's own counters so far, summed over its steps."""
        found: dict[str, int] = {}
        for metric in self._request("GET", self._path(f"jobs/{job}/metrics")).get("metrics", []):
            name = metric["name"]
            if (
                name.get("origin") == "user"
                and "tentative" not in name.get("context", {})
                and "scalar" in metric
            ):
                found[name["name"]] = found.get(name["name"], 0) + int(metric["scalar"])
        return found

    def cancel(self, job: str) -> None:
        self._request("PUT", self._path(f"jobs/{job}"), {"requestedState": "JOB_STATE_CANCELLED"})

    def link(self, job: str) -> str:
        """Where a person can see the job."""
        return LINK.format(region=self.region, job=job, project=self.project)

    def _path(self, path: str) -> str:
        return f"{self.endpoint.rstrip('/')}/v1b3/projects/{self.project}/locations/{self.region}/{path}"

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

        deadline, pause = time.monotonic() + self.seconds, 0.25
        while True:
            status, said = 0, ""
            try:
                answer = self._session().request(
                    method, url, params=query, json=body, timeout=TIMEOUT
                )
                if answer.status_code < 400:
                    return dict(answer.json())
                status, said = answer.status_code, _message(answer)
            except (requests.RequestException, auth.TransportError) as error:
                said = " ".join(str(error).split())[-200:]
            except auth.GoogleAuthError as error:
                raise self._no_access(str(error)) from error
            if status in (401, 403):
                raise self._no_access(f"{status}: {said}")
            if 400 <= status < 500 and status not in (408, 429):
                raise UserError(
                    f"Dataflow in {self.region} of project {self.project!r} refuses: {status}:"
                    f" {said}"
                )
            if time.monotonic() + pause > deadline:
                raise UserError(
                    f"Dataflow does not answer at {self.endpoint} ({status or 'no answer'}:"
                    f" {said}). Check the network and run again."
                )
            time.sleep(pause)
            pause = min(2 * pause, 30.0)

    def _session(self) -> Any:
        if self.session is None:
            import google.auth
            from google.auth.transport.requests import AuthorizedSession

            self.session = AuthorizedSession(google.auth.default(scopes=SCOPES)[0])
        return self.session

    def _no_access(self, why: str) -> UserError:
        return UserError(
            f"Dataflow gives no access to project {self.project!r} ({' '.join(why.split())[:200]})."
            " Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
            " to a service account's key, and give that account the role dataflow.developer."
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
    """Waits until a job has ended well; says its states and counters on the way.

    Raises JobFailedError, DataError or UserError for what its workers raised, StoppedError for a
    job that somebody cancelled, UserError where the service has not answered for WATCH_SECONDS: the
    job may still run, and the next run finds it.
    """
    client.seconds = WATCH_SECONDS
    started, state, shown, pause, since = time.monotonic(), "", "", FIRST_POLL_SECONDS, None
    seen: set[str] = set()
    errors: list[str] = []
    ended: float | None = None
    while True:
        found = client.state(job)
        for message in client.messages(job, since):
            since = max(since or "", message["time"])
            if message["id"] not in seen:
                seen.add(message["id"])
                _say(name, message, errors)
        if found != state:
            state = found
            log.log(
                NOTE,
                "%s: %s after %.0f s",
                name,
                state.removeprefix("JOB_STATE_").lower(),
                time.monotonic() - started,
            )
        if state not in ACTIVE and state != "JOB_STATE_UNKNOWN":
            ended = ended or time.monotonic()
            if state != FAILED or errors or time.monotonic() > ended + REASON_SECONDS:
                break
        counters = ", ".join(
            f"{counter} {value:,}" for counter, value in sorted(client.counters(job).items())
        )
        if counters and counters != shown:
            shown = counters
            log.info("%s: %s", name, counters)
        time.sleep(pause)
        pause = min(1.3 * pause, MAX_POLL_SECONDS)
    if state != DONE:
        raise _failure(client, job, name, state, errors)


def _say(name: str, message: dict[str, str], errors: list[str]) -> None:
    text, importance = message["messageText"], message.get("messageImportance", "")
    if importance == "JOB_MESSAGE_ERROR":
        errors.append(text)
    log.log(
        logging.WARNING if importance == "JOB_MESSAGE_WARNING" else logging.INFO,
        "%s: %s",
        name,
        text.strip().rpartition("\n")[2],
    )


def _failure(client: Client, job: str, name: str, state: str, errors: Sequence[str]) -> UserError:
    """The error of a job that did not end well.

    What its workers raised, as far as the service tells.
    """
    if state != FAILED:
        return StoppedError(
            f"while {name} ran",
            f"its Dataflow job being {state.removeprefix('JOB_STATE_').lower()}"
            f" ({client.link(job)})",
        )
    text = next(
        (each for each in reversed(errors) if "Traceback" in each),
        errors[-1] if errors else "no reason was given",
    )
    raised = re.findall(
        r"^seqline\.errors\.(\w+): (.*?)(?: \[while running .*)?$", text, re.MULTILINE
    )
    if raised:
        return (DataError if raised[-1][0] == "DataError" else UserError)(raised[-1][1])
    missing = re.findall(r"ModuleNotFoundError: No module named '([\w.]+)'", text)
    if missing:
        return JobFailedError(
            f"{name}: a worker has no module {missing[-1]!r}. Its package is neither in the"
            " workers' image nor among what is shipped: add it to pyproject.toml, to the image"
            f" (--sdk_container_image) or by -- --extra_package=... ({client.link(job)})"
        )
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return JobFailedError(
        f"{name}: the Dataflow job failed: {lines[-1][:500]} ({client.link(job)})"
    )


def leave(client: Client, name: str, cancels: bool) -> str | None:
    """After a run was stopped.

    Cancels its job or leaves it running. Says what became of it; None where no job of the name is
    active.
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
