"""Writes locked_elsewhere.json.

It holds the requirements of packages that are locked for some systems or Pythons only.
`make lock` runs it, with uv.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from tests.project.locks import environments, holds, pins
from tests.support import CHECKOUT

PLATFORMS = {"linux": "x86_64-unknown-linux-gnu", "darwin": "aarch64-apple-darwin"}


def main() -> None:
    asked = {}
    for pin in pins((CHECKOUT / "requirements.lock").read_text()):
        needed_by = [facts for _, facts in environments() if holds(pin.marker, facts)]
        if pin.marker and needed_by:
            asked[f"{pin.name}=={pin.version}"] = requirements(
                f"{pin.name}=={pin.version}", needed_by[-1]
            )
    Path(__file__).with_name("locked_elsewhere.json").write_text(json.dumps(asked, indent=2) + "\n")


def requirements(pin: str, facts: dict[str, str]) -> list[str]:
    """The requirements of a distribution, by its metadata for this system and Python."""
    uv = Path(sys.executable).with_name("uv")
    system = [
        "--python-version",
        facts["python_version"],
        "--python-platform",
        PLATFORMS[facts["sys_platform"]],
    ]

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--no-deps", *system, "--target", folder, pin],
            check=True,
        )
        (distribution,) = distributions(path=[folder])
        return distribution.requires or []


if __name__ == "__main__":
    main()
