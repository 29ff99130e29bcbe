"""The workers that train together, as TF_CONFIG names them.

    TF_CONFIG='{"cluster": {"worker": ["host-a:2222", "host-b:2222"]},
                "task": {"type": "worker", "index": 0}}'

An `evaluator` may be among the tasks, as launchers start one; it takes no part.

Imports nothing heavy: the command line reads it, too.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqline.errors import UserError

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": {"type": "worker",'
    ' "index": 0}}'
)
# Members are numbered in this order: number 0 is the chief, or the first worker if no chief is
# named, which then is the chief.
JOBS = ("chief", "worker")
EVALUATOR = "evaluator"
# The other jobs that TensorFlow knows, and why there is none here.
REFUSED = {
    "ps": "seqline has no parameter servers: its workers hold the weights and make every step"
    " together. Leave the job out, and give its machines to `worker`",
    "master": "that is TensorFlow 1's name of the chief. Call the job `chief`",
}

# (job, index, host:port) of a process.
Member = tuple[str, int, str]


@dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
        members: (job, index, host:port) of every process, the chief first.
        number: the place of this process among them.
    """

    members: tuple[Member, ...]
    number: int

    @property
    def is_chief(self) -> bool:
        return self.number == 0

    @property
    def others(self) -> tuple[int, ...]:
        return tuple(number for number in range(len(self.members)) if number != self.number)

    def name(self, number: int) -> str:
        """The name of a member, such as "worker 1 (host-b:2222)"."""
        job, index, address = self.members[number]
        return f"{job} {index} ({address})"

    def address(self, number: int) -> tuple[str, int]:
        host, _, port = self.members[number][2].rpartition(":")
        return host.strip("[]"), int(port)


def read(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads TF_CONFIG.

    Returns:
        The cluster; None if TF_CONFIG is not set, is empty, or names one process only.

    Raises:
        UserError: TF_CONFIG is malformed, or this task is an evaluator, which does not train.
            Training alone by mistake would be worse.
    """
    content = _read(environment)
    if content is None:
        return None

    members, task = content
    if task["type"] == EVALUATOR:
        raise UserError(
            f"{VARIABLE} says that this is {EVALUATOR} {task['index']}, which does not train: only"
            " `seqline run` takes such a task, and waits there for the end of the chief's run."
        )

    number = [member[:2] for member in members].index((task["type"], task["index"]))
    return Cluster(members, number) if len(members) > 1 else None


def is_evaluator(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether TF_CONFIG makes this process an evaluator.

    Raises:
        UserError: TF_CONFIG is malformed.
    """
    content = _read(environment)
    return content is not None and content[1]["type"] == EVALUATOR


def _read(environment: Mapping[str, str]) -> tuple[tuple[Member, ...], Mapping[str, Any]] | None:
    """(The members, the type and index of the own task); None without TF_CONFIG."""
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None

    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"is not JSON ({error})", text) from None

    if content == {}:
        return None

    jobs = content.get("cluster") if isinstance(content, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise _malformed('has no table "cluster"', text)

    # A launcher may list a job without a process.
    for job in sorted(job for job, addresses in jobs.items() if addresses != []):
        _check_job(job, text)

    members = tuple(
        (job, index, address)
        for job in JOBS
        for index, address in enumerate(_addresses(jobs, job, text))
    )
    if not members:
        raise _malformed("names neither a chief nor a worker", text)

    others = _addresses(jobs, EVALUATOR, text)
    addresses = [address for _, _, address in members] + others
    if twice := [address for address in addresses if addresses.count(address) > 1]:
        raise _malformed(f"names {twice[0]} twice", text)

    return members, _task(content.get("task"), members, len(others), text)


def _check_job(job: Any, text: str) -> None:
    if job in REFUSED:
        raise _malformed(f"names the job {job!r}: {REFUSED[job]}", text)
    if job not in (*JOBS, EVALUATOR):
        raise _malformed(
            f"names the job {job!r}; seqline trains with workers, and a chief if you like", text
        )


def _task(
    task: Any, members: tuple[Member, ...], num_evaluators: int, text: str
) -> Mapping[str, Any]:
    """The own task, whose index is a whole number."""
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _malformed('has no "task" with a type and an index', text)

    job, index = task["type"], task["index"]
    # Some launchers write it as a string.
    if isinstance(index, str) and re.fullmatch("[0-9]{1,9}", index):
        index = int(index)
    if isinstance(job, str) and job in REFUSED:
        _check_job(job, text)

    is_one = type(index) is int and (job, index) in [member[:2] for member in members]
    # TensorFlow's own examples leave the evaluator out of the cluster.
    if job == EVALUATOR and type(index) is int:
        is_one = 0 <= index < max(num_evaluators, 1)
    if not is_one:
        known = ", ".join(f"{name} {number}" for name, number, _ in members)
        raise _malformed(f"says that this is {job} {index}, and the cluster has {known}", text)
    return {"type": job, "index": index}


def _addresses(jobs: Mapping[str, Any], job: str, text: str) -> list[str]:
    addresses = jobs.get(job, [])
    if not isinstance(addresses, list):
        raise _malformed(f"has no list of addresses in cluster.{job}", text)

    for address in addresses:
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise _malformed(f"has {address!r} in cluster.{job}, which is not host:port", text)

    if job == "chief" and len(addresses) > 1:
        raise _malformed("names more than one chief", text)
    return addresses


def _malformed(complaint: str, text: str) -> UserError:
    shown = text if len(text) <= 200 else text[:200] + "..."
    return UserError(
        f"{VARIABLE} {complaint}: {shown!r}. Unset it to train on this machine alone, or write it"
        f" like {EXAMPLE}"
    )
