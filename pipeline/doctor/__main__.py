"""The command: prints a line for each check, and ends with 0, or with 2 if one failed."""

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pipeline.doctor import FAIL, WARN, Finding, libraries, machine, places
from serving.arguments import OneLineParser

EXIT_CODE = 2
# The column in which the text of a finding begins.
INDENT = 27


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks and returns the exit code."""
    flags = _parser().parse_args(arguments)
    findings = []
    for finding in _findings(flags):
        findings.append(finding)
        if not flags.json:
            print(_shown(finding), flush=True)

    num_failed = sum(finding.status == FAIL for finding in findings)
    num_warned = sum(finding.status == WARN for finding in findings)
    if flags.json:
        shown = [asdict(finding) for finding in findings]
        print(json.dumps({"ok": not num_failed, "findings": shown}, indent=2))
    else:
        num_well = len(findings) - num_failed - num_warned
        print(f"{num_failed} failed, {num_warned} to check, {num_well} ok")
    return EXIT_CODE if num_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser("seqline doctor", "Say what prevents a run, and what to do about it.")
    parser.add_argument(
        "word",
        nargs="?",
        metavar="CONFIG",
        help="a TOML file, or the name of a configuration that ships; not needed",
    )
    parser.add_argument("--config", "-c", help="the same as CONFIG")
    parser.add_argument(
        "--set",
        "-s",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="lay one value over the configuration",
    )

    parser.add_argument("--root", help="where artifacts are: a folder, or gs://, s3:// or az://")
    parser.add_argument("--serving-dir", help="where versions are published")
    parser.add_argument("--data-dir", help="where tensorflow-datasets keeps what it prepared")

    parser.add_argument("--json", action="store_true", help="one object, for machines")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="import nothing heavy, read no artifact: a second instead of half a minute",
    )
    return parser


def _findings(flags: argparse.Namespace) -> Iterator[Finding]:
    yield machine.python()
    yield machine.byte_code()
    versions = list(_guarded("versions", libraries.installed()))
    yield from versions

    given = {
        "root": flags.root,
        "pusher.serving_dir": flags.serving_dir,
        "example_gen.data_dir": flags.data_dir,
    }
    configured, findings = places.configured(
        flags.word,
        flags.config,
        flags.set,
        {setting: place for setting, place in given.items() if place is not None},
    )
    yield from findings
    yield from _guarded("places", _of_places(configured))

    if not flags.quick:
        yield from _guarded("artifacts", places.artifacts(configured.root))
        are_sound = all(finding.status != FAIL for finding in versions)
        yield from _guarded("imports", libraries.imported(are_sound))


def _guarded(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; a check that raises is one, too, so that the other checks go on."""
    try:
        yield from findings
    except Exception as error:
        text = f"cannot be checked: {type(error).__name__}: {error}"
        yield Finding(FAIL, what, text, "python -X dev -m pipeline.doctor, and tell us")


def _of_places(configured: places.Places) -> Iterator[Finding]:
    wanted = {"root": configured.root, "serving_dir": configured.serving_dir}
    if configured.source.startswith("tfds:"):
        wanted["data_dir"] = configured.data_dir

    yield places.temporary()
    for name, place in wanted.items():
        if place.startswith(places.BUCKETS):
            yield places.bucket(name, place)
        else:
            yield places.writable(name, place)
    if any(place.startswith(places.BUCKETS) for place in wanted.values()):
        yield places.writable("cache", places.cache())
    if not configured.root.startswith(places.BUCKETS):
        yield from places.runs_to_come(configured.root)


def _shown(finding: Finding) -> str:
    line = _wrapped(f"{finding.status:<5} {finding.what:<20} {finding.text}", INDENT)
    if not finding.way_out:
        return line
    return f"{line}\n" + _wrapped(f"{'':{INDENT}}-> {finding.way_out}", INDENT + 3)


def _wrapped(line: str, indent: int) -> str:
    """A line broken between words on a terminal, and unchanged elsewhere."""
    width = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or width < 2 * INDENT:
        return line
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
