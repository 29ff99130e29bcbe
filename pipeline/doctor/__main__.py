"""The command.

Looks at everything, prints a line for each, and ends with 0, or with 2 where something failed.
"""

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
# Where the text of a finding begins.
INDENT = 27


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    asked = _parser().parse_args(arguments)
    found = []
    for each in _findings(asked):
        found.append(each)
        if not asked.json:
            print(_shown(each), flush=True)
    failed, warned = (sum(each.status == status for each in found) for status in (FAIL, WARN))
    if asked.json:
        print(
            json.dumps({"ok": not failed, "findings": [asdict(each) for each in found]}, indent=2)
        )
    else:
        print(f"{failed} failed, {warned} to look at, {len(found) - failed - warned} well")
    return EXIT_CODE if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        "seqline doctor", "Say what stands in the way of a run, and the way out of it."
    )
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
    parser.add_argument("--root", help="where artifacts lie: a folder, or gs://bucket/path")
    parser.add_argument("--serving-dir", help="where versions are published")
    parser.add_argument("--data-dir", help="where tensorflow-datasets keeps what it prepared")
    parser.add_argument("--json", action="store_true", help="one object, for machines")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="import nothing heavy: a second instead of half a minute",
    )
    return parser


def _findings(asked: argparse.Namespace) -> Iterator[Finding]:
    yield from machine.all_of_it()
    versions = list(_whole("versions", libraries.installed()))
    yield from versions
    given = {
        "root": asked.root,
        "pusher.serving_dir": asked.serving_dir,
        "example_gen.data_dir": asked.data_dir,
    }
    configured, about = places.configured(
        asked.word,
        asked.config,
        asked.set,
        {name: place for name, place in given.items() if place is not None},
    )
    yield from about
    yield from _whole("places", _of_places(configured))
    if not asked.quick:
        yield from _whole(
            "imports", libraries.imported(all(each.status != FAIL for each in versions))
        )


def _whole(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What is so broken that looking at it fails is a finding, too, and the rest is looked at all
    the same.
    """
    try:
        yield from findings
    except Exception as error:
        yield Finding(
            FAIL,
            what,
            f"cannot be looked at: {type(error).__name__}: {error}",
            "python -X dev -m pipeline.doctor, and tell us",
        )


def _of_places(configured: dict[str, str]) -> Iterator[Finding]:
    wanted = {name: configured[name] for name in ("root", "serving_dir")}
    if configured["source"].startswith("tfds:"):
        wanted["data_dir"] = configured["data_dir"]
    in_buckets = {name: place for name, place in wanted.items() if place.startswith("gs://")}
    yield from places.temporary()
    yield places.credentials(bool(in_buckets))
    for name, place in wanted.items():
        if name in in_buckets:
            yield places.bucket(name, place)
        else:
            yield from places.writable(name, place)
    if in_buckets:
        yield from places.writable("cache", places.cache())
    if "root" not in in_buckets:
        yield from places.runs_to_come(wanted["root"])


def _shown(finding: Finding) -> str:
    line = _wrapped(f"{finding.status:<5} {finding.what:<20} {finding.text}", INDENT)
    return (
        f"{line}\n" + _wrapped(f"{'':{INDENT}}-> {finding.way_out}", INDENT + 3)
        if finding.way_out
        else line
    )


def _wrapped(line: str, indent: int) -> str:
    """On a terminal broken between words; as it is elsewhere."""
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
