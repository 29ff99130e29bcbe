"""Who runs a command: for locks, and for the record of what somebody did by hand."""

import getpass
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def who() -> dict[str, Any]:
    """{host, pid, user, since, url}: url is that of the CI job, None at a desk."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "user": user,
        "since": since,
        "url": job_url(os.environ),
    }


def job_url(environment: Mapping[str, str]) -> str | None:
    """Where one can watch the CI job: GitHub Actions, GitLab CI, Jenkins."""
    if run := environment.get("GITHUB_RUN_ID"):
        return f"{environment.get('GITHUB_SERVER_URL', 'https://github.com')}/{environment.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}"
    return environment.get("CI_JOB_URL") or environment.get("BUILD_URL")


def name(owner: Mapping[str, Any]) -> str:
    """`process 12 on host (ann, https://...), since ...`."""
    about = ", ".join(str(owner[key]) for key in ("user", "url") if owner.get(key))
    text = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}" + (
        f" ({about})" if about else ""
    )
    return text + (f", since {owner['since']}" if owner.get("since") else "")
