"""The part of Dataflow's REST API (v1b3) for submitting, watching and cancelling jobs.

Each job is given to `execute`.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.fake_cloud.faults import Faults
from tests.support.fake_cloud.server import Reply, error

PENDING = "JOB_STATE_PENDING"
RUNNING = "JOB_STATE_RUNNING"
DONE = "JOB_STATE_DONE"
FAILED = "JOB_STATE_FAILED"
CANCELLED = "JOB_STATE_CANCELLED"
ACTIVE = (PENDING, RUNNING)
# The API's numbers of states, which some clients use.
NUMBERS = {2: RUNNING, 3: DONE, 4: FAILED, 5: CANCELLED, 7: "JOB_STATE_DRAINING"}
IMPORTANCES = [f"JOB_MESSAGE_{name}" for name in ("DEBUG", "DETAILED", "BASIC", "WARNING", "ERROR")]
LAUNCH = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/flexTemplates:launch")
PATH = re.compile(
    r"/v1b3/projects/([^/]+)(?:/locations/([^/]+))?"
    r"/jobs(?::aggregated)?(?:/([^/]+?))?(/messages|/metrics)?"
)


@dataclass
class Job:
    """A job and its progress."""

    description: dict[str, Any]  # as it was submitted
    state: str = PENDING
    messages: list[dict[str, str]] = field(default_factory=list)
    # (step, namespace, name) -> value
    counters: dict[tuple[str, str, str], int] = field(default_factory=dict)
    attempts: int = 0  # how often its work was begun
    changed: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def id(self) -> str:
        return str(self.description["id"])

    @property
    def name(self) -> str:
        return str(self.description["name"])

    @property
    def options(self) -> dict[str, Any]:
        """The pipeline options that its workers get."""
        return dict(self.description["environment"]["sdkPipelineOptions"]["options"])

    def say(self, text: str, importance: str = "BASIC") -> None:
        """Adds a message; importance as in JOB_MESSAGE_<importance>."""
        self.messages.append(
            {
                "id": uuid.uuid4().hex,
                "time": now(),
                "messageText": text,
                "messageImportance": f"JOB_MESSAGE_{importance}",
            }
        )

    def turn(self, state: str) -> bool:
        """Changes the state. Returns False, and changes nothing, for a job that has ended."""
        if self.state not in ACTIVE:
            return False
        self.state = state
        self.changed = now()
        if state not in ACTIVE:
            self.ended.set()
        return True


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


@dataclass
class FakeDataflow:
    """The jobs of the cloud.

    Attributes:
        execute: works on a job, in a thread of its own.
        launch: (project, region, body) -> the description of a template's job. It raises ValueError
            for a launch that fails.
        faults: what is to go wrong.
        jobs: in the order in which they came.
        requests: "METHOD path" of all requests.
        creating: held while a job is added.
    """

    execute: Callable[[Job], None]
    launch: Callable[[str, str, bytes], bytes]
    faults: Faults
    jobs: list[Job] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    creating: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Reply:
        """The answer to a request."""
        self.requests.append(f"{method} {path}")
        if status := self.faults.of(method, path):
            return error(status, "told to fail")
        if not (headers.get("Authorization") or "").startswith("Bearer "):
            return error(401, "Request is missing required authentication credential.")
        if place := LAUNCH.fullmatch(path):
            return self._launch(place[1], place[2], body)
        match = PATH.fullmatch(path)
        if match is None:
            return error(404, f"the fake has no {method} {path}")

        project, region, number, part = match.groups()
        if number is None:
            if method == "POST":
                return self._create(project, region, json.loads(body))
            return self._list(project, region, query)

        of_number = [
            job for job in self.jobs if job.id == number and job.description["location"] == region
        ]
        if not of_number:
            return error(404, f"Could not find job {number} in {region}.")
        job = of_number[0]
        if method == "PUT":
            return self._update(job, json.loads(body))

        if part == "/messages":
            since = query.get("startTime", "")
            least = _rank(query.get("minimumImportance", IMPORTANCES[0]))
            messages = [
                message
                for message in job.messages
                if message["time"] >= since[:26] and _rank(message["messageImportance"]) >= least
            ]
            return 200, {"jobMessages": messages}, {}

        if part == "/metrics":
            return 200, {"metricTime": now(), "metrics": list(_metrics(job))}, {}
        return 200, _view(job), {}

    def wait(self, number: int = -1, seconds: float = 120.0) -> Job:
        """A job, once it has ended. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not self.jobs:
            if time.monotonic() > deadline:
                raise TimeoutError("no job was submitted")
            time.sleep(0.05)
        job = self.jobs[number]
        if not job.ended.wait(max(0.0, deadline - time.monotonic())):
            texts = [message["messageText"] for message in job.messages]
            raise TimeoutError(f"{job.name} is still {job.state}: {texts}")
        return job

    def _create(self, project: str, region: str, description: dict[str, Any]) -> Reply:
        if not re.fullmatch("[a-z]([-a-z0-9]{0,1022}[a-z0-9])?", description["name"]):
            return error(
                400, f"The workflow could not be created. Invalid job name {description['name']!r}."
            )

        for key, value in description.get("labels", {}).items():
            if not re.fullmatch("[a-z][-_a-z0-9]{0,62}", key) or not re.fullmatch(
                "[-_a-z0-9]{0,63}", value
            ):
                return error(400, f"Invalid label {key}={value}.")

        with self.creating:
            for other in self.jobs:
                if other.name == description["name"] and other.state in ACTIVE:
                    # By the other job's clientRequestId the client sees that it is not its own.
                    return 200, _view(other), {}
            number = f"{datetime.now(UTC):%Y-%m-%d_%H_%M_%S}-{uuid.uuid4().int % 10**18}"
            job = Job(
                description
                | {
                    "id": number,
                    "projectId": project,
                    "location": region,
                    "createTime": now(),
                },
                changed=now(),
            )
            self.jobs.append(job)

        threading.Thread(target=self.execute, args=(job,), daemon=True).start()
        return 200, _view(job), {}

    def _launch(self, project: str, region: str, body: bytes) -> Reply:
        try:
            description = self.launch(project, region, body)
        except ValueError as failed:
            return error(400, str(failed))
        status, answer, headers = self._create(project, region, json.loads(description))
        return status, {"job": answer}, headers

    def _list(self, project: str, region: str, query: dict[str, str]) -> Reply:
        states = ACTIVE if query.get("filter", "") in ("ACTIVE", "3") else None
        views = []
        for job in self.jobs:
            place = (job.description["projectId"], job.description["location"])
            if place == (project, region) and (states is None or job.state in states):
                views.append(_view(job))
        return 200, {"jobs": views}, {}

    def _update(self, job: Job, wanted: dict[str, Any]) -> Reply:
        state = wanted.get("requestedState")
        if NUMBERS.get(state, state) == CANCELLED:
            self.cancel(job)
        return 200, _view(job), {}

    def cancel(self, job: Job) -> None:
        """Cancels a job, as a person does in the console."""
        if job.turn(CANCELLED):
            job.say("Cancel request is committed for workflow job.")


def _rank(importance: str) -> int:
    return IMPORTANCES.index(importance)


def _view(job: Job) -> dict[str, Any]:
    """A job as a client sees it."""
    kept = (
        "id",
        "projectId",
        "name",
        "type",
        "createTime",
        "location",
        "labels",
        "clientRequestId",
    )
    state = {"currentState": job.state, "currentStateTime": job.changed}
    return {name: job.description[name] for name in kept if name in job.description} | state


def _metrics(job: Job) -> list[dict[str, Any]]:
    """Every counter twice, once as tentative, as the service tells them."""
    metrics = []
    for (step, namespace, name), value in job.counters.items():
        for more in ({}, {"tentative": "true"}):
            metrics.append(
                {
                    "name": {
                        "origin": "user",
                        "name": name,
                        "context": {"step": step, "namespace": namespace, **more},
                    },
                    "scalar": value,
                    "updateTime": now(),
                }
            )

    return metrics
