"""Schemathesis against the server's OpenAPI document, for a given time.

    python -m tests.soak.schema_fuzz [--minutes 20] [--seed 0]

The models have signatures of every kind and type. Every operation of the document is asked in turn,
with requests that keep to it and with requests that do not, each round from new seeds. An answer
must have a status, a type, headers and a body that the document names, and a request that breaks
the document must be refused. The server must live and log no traceback.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.support.models import fake_model
from tests.support.openapi import MODES, ask, operations
from tests.support.served import Server, documented, half_plus, serving, typed

NUM_REQUESTS = 50  # of an operation in a round
SHOWN = 10
TYPES = ["bool", "string", "int8", "uint16", "int64", "uint64", "half", "float32", "float64"]
CONFIG = """
model_config_list {
  config {
    name: "half" base_path: "half" model_version_policy { all {} }
    version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }
  }
  config { name: "documented" base_path: "documented" }
  config { name: "typed" base_path: "typed" }
  config { name: "tokens" base_path: "tokens" }
  config { name: "sequence" base_path: "sequence" }
}
"""


def make_models(folder: Path) -> Path:
    """Models of every kind, and the config file that names them."""
    half_plus(folder / "half" / "1", 3)
    half_plus(folder / "half" / "2", 4)
    documented(folder / "documented" / "1")
    typed(folder / "typed" / "1", TYPES)
    for content in ("tokens", "sequence"):
        (folder / content).mkdir()
        fake_model(folder / "made" / content, content).rename(folder / content / "1")

    config = folder / "models.config"
    config.write_text(CONFIG)
    return config


def fuzz(server: Server, seconds: float, first: int) -> tuple[dict[str, Counter[int]], list[str]]:
    """Asks until the time is over: (how often each status, by operation; what is wrong)."""
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    wrong: dict[str, str] = {}
    end, number = time.monotonic() + seconds, first

    while time.monotonic() < end:
        for operation in operations(server.url):
            has_choice = operation.method == "post" or "{" in operation.path
            # A request without a parameter and a body can neither vary nor break the document.
            for mode in MODES if has_choice else MODES[:1]:
                if time.monotonic() >= end:
                    break
                kind = f"{operation.method} {operation.path}, {mode.value}"
                try:
                    statuses[kind] += ask(server.url, operation, mode, NUM_REQUESTS, number)
                except (Exception, BaseExceptionGroup) as error:
                    errors = getattr(error, "exceptions", [error])
                    wrong.setdefault(kind, f"seed {number}: {'; '.join(map(str, errors))[:1000]}")
            number += 1
    return statuses, [f"{kind}: {error}" for kind, error in wrong.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        config = make_models(Path(name))
        with serving(Path(name), f"--model_config_file={config}") as server:
            while server.get("/readyz").status_code != 200:
                time.sleep(0.1)
            statuses, wrong = fuzz(server, arguments.minutes * 60, arguments.seed)
            if server.process.poll() is not None:
                wrong.append(f"the server ended with {server.process.returncode}")
            if "Traceback" in server.log.read_text():
                wrong.append(f"a traceback in the log: {server.log.read_text()[-1000:]}")

    totals: Counter[int] = Counter()
    for kind, counted in statuses.items():
        totals += counted
        print(f"{kind:70} {dict(sorted(counted.items()))}")
    for line in wrong[:SHOWN]:
        print(f"WRONG {line}")

    summary: dict[str, Any] = {
        "minutes": arguments.minutes,
        "seed": arguments.seed,
        "requests": totals.total(),
        "statuses": {str(status): totals[status] for status in sorted(totals)},
        "wrong": len(wrong),
    }
    print(json.dumps(summary))
    return 1 if wrong or not totals else 0


if __name__ == "__main__":
    sys.exit(main())
