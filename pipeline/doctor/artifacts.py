"""Compares the files of every finished artifact under a root with the digests in its record.

Run by its path. Prints a line of JSON for each file that is not what was written: `place`, `name`
and `problem`. The last line has `num_artifacts`, `num_files`, and `num_without`, the artifacts of
earlier releases, which have no digests. A root that cannot be read gives `error`.
"""

import json
import sys


def main() -> None:
    question = json.load(sys.stdin)
    sys.path[:] = question["path"]
    from seqline.errors import UserError

    try:
        _check(question["root"])
    except UserError as error:
        print(json.dumps({"error": str(error)}))


def _check(root: str) -> None:
    from pipeline.store import open_store
    from seqline.storage.integrity import EXECUTION, Change
    from seqline.storage.records import DamagedRecordError

    store = open_store(root)
    num_artifacts = num_files = num_without = 0
    for record in sorted(store.root.glob(f"*/*/{EXECUTION}")):
        component, key = record.parent.parent.name, record.parent.name
        num_artifacts += 1
        try:
            execution = store.execution(component, key)
            changes = store.changes(component, key, in_full=True)
        except DamagedRecordError:
            execution, changes = None, [Change(EXECUTION, "is damaged")]

        if execution is not None and execution.files is None:
            num_without += 1
        elif execution is not None:
            num_files += len(execution.files or ())
        for change in changes:
            answer = {"place": str(record.parent), "name": change.name, "problem": change.problem}
            print(json.dumps(answer), flush=True)

    counts = {"num_artifacts": num_artifacts, "num_files": num_files, "num_without": num_without}
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
