"""What an installation brings, and how soon it answers: packages, bytes, seconds of imports.

Counts what uv resolves for Python 3.11 on Linux x86-64 today, and compares with TFX. With `--sizes`
each of seqline's is installed in an environment of its own (some GB of wheels, from uv's cache
where it has them). The commands are those of the environment that runs this script; each is started
`--repeats` times after one that is not counted, and the least counts: other work only adds.

    python -m benchmarks.install --sizes
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import CHECKOUT, Table, children_cpu_seconds, parser, print_result

UV = Path(sys.executable).with_name("uv")
PYTHON = "3.11"
# tensorflow-transform asks for Beam with its extra gcp, which a run on one machine never imports.
LEAN = "apache-beam>=2.77,<2.78"
PEER = "tfx"
# Name -> (requirements, whether Beam's extra is left out). `.` is this checkout.
INSTALLATIONS = {
    "pip install seqline": (".", False),
    "without Google Cloud": (".", True),
    "... with sample and tune (make install)": (".[sample,tune]", True),
    "pip install tfx": (PEER, False),
}
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import seqline": ["-c", "import seqline"],
    "seqline --help": ["-m", "pipeline", "--help"],
    "seqline plan": ["-m", "pipeline", "plan", "rows.csv", "--text", "text", "--label", "label"],
}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sizes", action="store_true", help="install each, and measure")
    arguments.add_argument("--repeats", type=int, default=5)
    parsed = arguments.parse_args()

    packages: dict[str, int] = {}
    sizes: dict[str, int] = {}
    table = Table(("installation", "<40"), ("packages", "8d"), ("MB", "6d"))
    for name, (requirement, lean) in INSTALLATIONS.items():
        pins = resolved(requirement, lean)
        packages[name] = len(pins)
        if parsed.sizes and requirement != PEER:
            sizes[name] = installed_mb(pins)
        table.row(name, packages[name], sizes.get(name))

    print()
    seconds = started(parsed.repeats)
    table = Table(("command", "<40"), ("CPU s", "7.2f"), ("seconds", "7.2f"))
    for name, fastest in seconds.items():
        table.row(name, fastest["cpu"], fastest["wall"])

    ours = packages["pip install seqline"], packages["without Google Cloud"]
    result = {
        "packages": packages,
        "mb": sizes,
        "seconds": seconds,
        "packages_of_tfx_over_ours": round(packages["pip install tfx"] / ours[0], 2),
        "packages_of_tfx_over_ours_without_google_cloud": round(
            packages["pip install tfx"] / ours[1], 2
        ),
    }
    print_result(result)


def resolved(requirement: str, lean: bool) -> list[str]:
    """The pins that uv chooses for a requirement."""
    with tempfile.TemporaryDirectory() as folder:
        override, wanted = Path(folder, "override.txt"), Path(folder, "wanted.in")
        override.write_text(LEAN if lean else "")
        is_ours = requirement.startswith(".")
        ours = f"seqline{requirement[1:]} @ {CHECKOUT.as_uri()}"
        wanted.write_text(ours if is_ours else requirement)
        command = [UV, "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28"]
        done = _run([*command, "--override", override, wanted])
    return [line for line in done.splitlines() if "==" in line]


def installed_mb(pins: Sequence[str]) -> int:
    """The size of an environment with these packages, without byte code, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "pins.txt")
        pinned.write_text("\n".join(pins))
        _run([UV, "venv", "--quiet", "--python", PYTHON, f"{folder}/made"])
        python = f"{folder}/made/bin/python"
        command = [UV, "pip", "install", "--quiet", "--no-deps", "--python", python]
        _run([*command, "--requirement", pinned])
        files = [path for path in Path(folder, "made").rglob("*") if not path.is_symlink()]
        return sum(path.stat().st_size for path in files if path.is_file()) // 1_000_000


def started(repeats: int) -> dict[str, dict[str, float]]:
    """Command -> the fewest CPU seconds and the fewest seconds of its starts."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = "".join(f"row {number},{number % 2}\n" for number in range(100))
        Path(folder, "rows.csv").write_text(f"text,label\n{rows}")
        for name, arguments in COMMANDS.items():
            starts = []
            for _ in range(repeats + 1):
                begun, cpu = time.monotonic(), children_cpu_seconds()
                _run([sys.executable, *arguments], folder)
                starts.append((children_cpu_seconds() - cpu, time.monotonic() - begun))
            cpu_seconds, seconds = (min(column) for column in zip(*starts[1:], strict=True))
            figures[name] = {"cpu": round(cpu_seconds, 3), "wall": round(seconds, 3)}
    return figures


def _run(command: Sequence[object], folder: str | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
