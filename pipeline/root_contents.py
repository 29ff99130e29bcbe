"""The content of a root, as a clean-up reads it once: entries, records, and the runs alive."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import lineage
from pipeline.lineage import Key
from pipeline.store.folder import Store
from pipeline.store.layout import RUN, RUN_LOCK
from pipeline.store.records import Execution, RunRecord
from seqline.errors import UserError

PUSHER = "pusher"


@dataclass(frozen=True)
class RootContents:
    """The content of a store, as a clean-up reads it once.

    Attributes:
        store: the store.
        records: run -> its record; None for a damaged one.
        executions: artifact -> its record; without those that are damaged.
        entries: entry (`Store.entries`) -> bytes.
        alive: the runs that are alive.
        damaged: run or artifact -> what is wrong with its record.
    """

    store: Store
    records: Mapping[str, RunRecord | None]
    executions: Mapping[Key, Execution]
    entries: Mapping[str, int]
    alive: set[str]
    damaged: Mapping[str | Key, str]

    @property
    def pushes(self) -> dict[Key, Execution]:
        """The records of the pusher's artifacts."""
        return {name: record for name, record in self.executions.items() if name[0] == PUSHER}

    def execution(self, component: str, key: str) -> Execution | None:
        """The record of an artifact; None if it does not exist or is damaged."""
        return self.executions.get((component, key))


def read(store: Store) -> RootContents:
    """Reads the entries, the records and the locks of a store. Needs `Store.cleaning`."""
    damaged: dict[str | Key, str] = {}

    # Runs before locks: a run holds its lock when it writes its record, so a run with a record and
    # without a lock has ended.
    records: dict[str, RunRecord | None] = {}
    for run in store.runs():
        records[run.name] = None
        try:
            records[run.name] = RunRecord.read(run / RUN)
        except FileNotFoundError:  # it was removed meanwhile
            del records[run.name]
        except UserError as error:
            damaged[run.name] = str(error)
    entries = store.entries()

    executions: dict[Key, Execution] = {}
    alive = set()
    for entry in entries:
        if name := lineage.artifact_of(entry):
            try:
                if record := store.execution(*name):
                    executions[name] = record
            except UserError as error:
                damaged[name] = str(error)

        folder, _, leaf = entry.partition("/")
        if folder == "locks" and leaf.startswith(RUN_LOCK) and store.is_held(leaf):
            alive.add(leaf.removeprefix(RUN_LOCK))
    return RootContents(store, records, executions, entries, alive, damaged)
