"""Who runs a command: for locks, and for the record of what a person did by hand."""

import getpass
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqline.host.clock import now


def who() -> dict[str, Any]:
    """{host, pid, user, since, url}; url is that of the CI job, None outside CI."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"

    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "user": user,
        "since": now("seconds"),
        "url": job_url(os.environ),
    }


def lock_holder() -> dict[str, Any]:
    """An owner as its lock names it: `who`, and the `processes` that its pid is one of."""
    return {**who(), "processes": _processes()}


def job_url(environment: Mapping[str, str]) -> str | None:
    """The page of the CI job: GitHub Actions, GitLab CI or Jenkins."""
    if run := environment.get("GITHUB_RUN_ID"):
        server = environment.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{environment.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}"
    return environment.get("CI_JOB_URL") or environment.get("BUILD_URL")


def name(owner: Mapping[str, Any]) -> str:
    """`process 12 on host (ann, https://...), since ...`, or `another process`."""
    if "pid" not in owner:
        return "another process"

    text = f"process {owner['pid']} on {owner.get('host', '?')}"
    about = ", ".join(str(owner[key]) for key in ("user", "url") if owner.get(key))
    if about:
        text += f" ({about})"
    if owner.get("since"):
        text += f", since {owner['since']}"
    return text


def is_running(pid: int) -> bool:
    """Whether this machine (or this container) has a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it runs, and belongs to another user
        pass
    return True


def is_alive(holder: Mapping[str, Any]) -> bool | None:
    """Whether the owner of a lock still runs; None where this machine cannot tell.

    Args:
        holder: what the lock says about its owner (`lock_holder`).
    """
    pid = holder.get("pid")
    if not isinstance(pid, int) or not _processes() or holder.get("processes") != _processes():
        return None
    return is_running(pid)


def is_of_this_boot(holder: Mapping[str, Any]) -> bool:
    """Whether the owner of a lock runs, or ran, under this very kernel."""
    return str(holder.get("processes", "")).partition(" ")[0] == _processes().partition(" ")[0]


def _processes() -> str:
    """`<boot> <pid namespace>`: only within one pair of these does a pid mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
