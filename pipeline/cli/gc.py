"""`seqline gc`: says what would go, asks, takes it away."""

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import chosen, usage
from pipeline.cli.options import AsJson, ConfigOptions

if TYPE_CHECKING:
    from pipeline.gc import Plan

NOUNS = {
    "artifact": "artifacts",
    "checkpoints": "checkpoints",
    "run": "runs",
    "piece": "span_cache",
    "version": "versions",
    "lock": "locks",
    "left-over": "left-overs",
}


def gc(
    common: ConfigOptions,
    keep_runs: Annotated[
        int,
        typer.Option("--keep-runs", min=0, help="the last runs, which stay with their artifacts"),
    ] = 10,
    keep_versions: Annotated[
        int | None,
        typer.Option(
            "--keep-versions",
            min=1,
            help="of serving_dir, too, keep so many; none with a label goes, nor the newest",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="do not ask; without it and without a terminal nothing is deleted"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what no run needs.

    Keeps what is served, the last runs, those that are alive, and all that they were made of.
    """
    from pipeline import gc as cleaning
    from pipeline.store import open_store

    loaded = chosen.read_if_named(common, "gc")
    cleaning.check_root(loaded.root)
    store, served = open_store(loaded.root), loaded.pusher.serving_dir
    found, freed = cleaning.preview(store, served, keep_runs, keep_versions)
    if not as_json:
        _print(found, freed, str(store.root))
    deletes = bool(found.items) and (yes or (not as_json and _is_agreed()))
    gone = [item.name for item in found.items if item.kind == "version"]
    if deletes:
        done = cleaning.collect(store, served, keep_runs, keep_versions, found)
        gone += [item.name for item in done.items]
    if as_json:
        print(
            json.dumps(
                {
                    "deleted": deletes,
                    "bytes": freed,
                    "items": [asdict(item) for item in found.items],
                    "notes": found.notes,
                },
                indent=2,
            )
        )
    elif deletes:
        kept = (
            ""
            if len(gone) == len(found.items)
            else f"; {len(found.items) - len(gone)} were needed meanwhile, and stay"
        )
        print(f"deleted {len(gone)}{kept}")
    elif found.items:
        print("nothing was deleted; --yes deletes")


def _is_agreed() -> bool:
    return (
        sys.stdin.isatty() and sys.stdout.isatty() and typer.confirm("Delete these?", default=False)
    )


def _print(found: "Plan", freed: int, root: str) -> None:
    for item in found.items:
        if item.kind != "lock":
            size = "" if item.kind == "version" else _size(item.bytes)
            print(
                f"{item.kind:<12} {size:>9}  {item.name}{f'  ({item.about})' if item.about else ''}"
            )
    for note in found.notes:
        print(f"note: {note}")
    served = "; ".join(
        f"versions {', '.join(map(str, versions))} in {place}"
        for place, versions in sorted(found.served.items())
        if versions
    )
    print(
        f"kept: {len(found.artifacts)} artifacts of {_number(len(found.runs), 'run')}"
        + (f" and of {served}" if served else "")
    )
    if found.items:
        kinds = Counter(item.kind for item in found.items)
        print(
            f"{root}: {', '.join(_number(number, kind) for kind, number in sorted(kinds.items()))}"
            f" may go; {_size(freed)} come free"
        )
    else:
        print(f"{root}: nothing may go")


def _number(number: int, kind: str) -> str:
    return f"{number} {kind if number == 1 else NOUNS.get(kind, kind)}"


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


app = usage.single(gc)
