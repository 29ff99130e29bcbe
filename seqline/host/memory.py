"""How much memory this machine has. Standard library only."""

import os
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
# A container's limit, of the second and of the first version of cgroups. The first one says "no
# limit" by a number that no machine has.
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def total_bytes() -> int | None:
    """All memory that processes may have, swap included; None where the system does not tell."""
    sizes: dict[str, int] = {}
    with suppress(OSError, ValueError, IndexError):
        for line in MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            sizes[name] = int(value.split()[0]) * 1024 if name.endswith("Total") else 0

    physical = sizes.get("MemTotal") or _from_sysconf()
    if not physical:
        return None

    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max" is no number
            physical = min(physical, int(path.read_text()))
    return physical + sizes.get("SwapTotal", 0)


def _from_sysconf() -> int | None:
    with suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
