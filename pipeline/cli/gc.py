"""`seqline gc`: says what it would delete, asks, and deletes it."""

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
    "part of a span": "parts of spans",
    "version": "versions",
    "lock": "locks",
    "left-over": "left-overs",
}


def gc(
    common: ConfigOptions,
    keep_runs: Annotated[
        int,
        typer.Option(
            "--keep-runs", min=0, help="how many of the last runs stay, with their artifacts"
        ),
    ] = 10,
    keep_versions: Annotated[
        int | None,
        typer.Option(
            "--keep-versions",
            min=1,
            help="how many of serving_dir's newest versions stay; one with a label always does",
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

    Keeps what is served, the last runs, the runs that are alive, and all that they were made of.
    """
    from pipeline import gc as cleaning
    from pipeline.store import open_store

    loaded = chosen.read_if_named(common, "gc")
    cleaning.check_root(loaded.root)
    store, served = open_store(loaded.root), loaded.pusher.serving_dir
    plan, num_bytes = cleaning.preview(store, served, keep_runs, keep_versions)

    if not as_json:
        _print(plan, num_bytes, str(store.root))

    is_agreed = bool(plan.items) and (yes or (not as_json and _is_agreed()))
    deleted = [item.name for item in plan.items if item.kind == "version"]
    if is_agreed:
        done = cleaning.collect(store, served, keep_runs, keep_versions, plan)
        deleted += [item.name for item in done.items]

    if as_json:
        result = {
            "deleted": is_agreed,
            "bytes": num_bytes,
            "items": [asdict(item) for item in plan.items],
            "notes": plan.notes,
        }
        print(json.dumps(result, indent=2))
    elif is_agreed:
        num_kept = len(plan.items) - len(deleted)
        kept = f"; {num_kept} were needed meanwhile, and stay" if num_kept else ""
        print(f"deleted {len(deleted)}{kept}")
    elif plan.items:
        print("nothing was deleted; --yes deletes")


def _is_agreed() -> bool:
    return (
        sys.stdin.isatty() and sys.stdout.isatty() and typer.confirm("Delete these?", default=False)
    )


def _print(plan: "Plan", num_bytes: int, root: str) -> None:
    for item in plan.items:
        if item.kind != "lock":
            size = "" if item.kind == "version" else _size(item.bytes)
            about = f"  ({item.about})" if item.about else ""
            print(f"{item.kind:<14} {size:>9}  {item.name}{about}")
    for note in plan.notes:
        print(f"note: {note}")

    kept = f"kept: {len(plan.artifacts)} artifacts of {_number(len(plan.runs), 'run')}"
    served = "; ".join(
        f"versions {', '.join(map(str, versions))} in {place}"
        for place, versions in sorted(plan.served.items())
        if versions
    )
    print(f"{kept} and of {served}" if served else kept)

    if not plan.items:
        print(f"{root}: nothing to delete")
        return

    kinds = sorted(Counter(item.kind for item in plan.items).items())
    numbers = ", ".join(_number(number, kind) for kind, number in kinds)
    print(f"{root}: {numbers} can be deleted, which frees {_size(num_bytes)}")


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
