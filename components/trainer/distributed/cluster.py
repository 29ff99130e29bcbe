"""The workers that train together, as TF_CONFIG names them.

    TF_CONFIG='{"cluster": {"worker": ["host-a:2222", "host-b:2222"]},
                "task": {"type": "worker", "index": 0}}'

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


@dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
        members: (job, index, host:port) of every process, the chief first.
        number: the place of this process among them.
    """

    members: tuple[tuple[str, int, str], ...]
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
        UserError: TF_CONFIG is malformed. Training alone by mistake would be worse.
    """
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
    if unknown := sorted(set(jobs) - set(JOBS)):
        raise _malformed(
            f"names the job {unknown[0]!r}; seqline trains with workers, and a chief if you like",
            text,
        )

    members = tuple(
        (job, index, address)
        for job in JOBS
        for index, address in enumerate(_addresses(jobs, job, text))
    )

    addresses = [address for _, _, address in members]
    if twice := [address for address in addresses if addresses.count(address) > 1]:
        raise _malformed(f"names {twice[0]} twice", text)

    number = _own_number(content.get("task"), members, text)
    return Cluster(members, number) if len(members) > 1 else None


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


def _own_number(task: Any, members: tuple[tuple[str, int, str], ...], text: str) -> int:
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _malformed('has no "task" with a type and an index', text)

    numbers = {(job, index): number for number, (job, index, _) in enumerate(members)}
    job, index = task["type"], task["index"]
    if isinstance(index, str) and re.fullmatch(
        "[0-9]{1,9}", index
    ):  # some launchers write it as a string
        index = int(index)
    if not isinstance(job, str) or type(index) is not int or (job, index) not in numbers:
        known = ", ".join(f"{job} {index}" for job, index in numbers)
        raise _malformed(
            f"says that this is {job} {index}, and the cluster has {known or 'no member'}", text
        )
    return numbers[job, index]


def _malformed(complaint: str, text: str) -> UserError:
    shown = text if len(text) <= 200 else text[:200] + "..."
    return UserError(
        f"{VARIABLE} {complaint}: {shown!r}. Unset it to train on this machine alone, or write it"
        f" like {EXAMPLE}"
    )
