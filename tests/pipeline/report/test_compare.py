"""`seqline compare`."""

import json
import re

from pipeline.store.folder import Store
from tests.support.reports import invoke


def test_compare(three_runs: Store) -> None:
    comparison = json.loads(
        invoke("compare", "1", "latest", "--root", str(three_runs.root), "--json")[0]
    )
    assert [run["run"] for run in comparison["runs"]] == ["20260101-0001", "20260103-0003"]
    assert comparison["parameters"] == [{"name": "trainer.rnn_units", "values": [1, 3]}]
    assert comparison["comparable"] is False  # the keys of the fixture's Examples differ
    accuracy = next(figure for figure in comparison["figures"] if figure["name"] == "accuracy")
    assert (accuracy["difference"], accuracy["better"]) == (0, None)
    shown, _ = invoke("compare", "1", "latest", "--root", str(three_runs.root))
    assert "Measured on different data: the figures of the models cannot be compared." in shown
    assert re.search(r"trainer\.rnn_units +1 +3", shown)
    assert re.search(r"epoch +val_accuracy A", shown)
