"""The Statistics of a window: what the checks need of its spans, read span by span.

For each span, split and class, statistics.json has a number and an example: together they may be
millions, while those of the window are no more than the classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqline.data import features
from seqline.data.statistics import OneSpan, SplitStatistics, Statistics, as_figures
from seqline.errors import UserError
from seqline.storage import records
from seqline.storage.record_stream import Entries, read_by_entry


@dataclass
class TrainRows:
    """Figures of the train rows of some spans together.

    Attributes:
        num_rows: How many they are.
        labels: Label -> rows.
        lengths: Name of a length -> lower edge of a bin -> rows.
    """

    num_rows: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, dict[int, int]] = field(default_factory=dict)

    def add(self, figures: Mapping[str, Any]) -> None:
        """Adds the rows of a span.

        Args:
            figures: Of its train split in statistics.json.
        """
        self.num_rows += figures["num_rows"]
        for label, count in figures["labels"].items():
            self.labels[label] = self.labels.get(label, 0) + count

        for name, length in figures["lengths"].items():
            bins = self.lengths.setdefault(name, {})
            for edge, count in length["histogram"]:
                bins[edge] = bins.get(edge, 0) + count


@dataclass(frozen=True)
class Window:
    """The Statistics, as far as they are checked.

    Attributes:
        figures: The content of statistics.json. Its spans have num_read and num_bad only, and
            num_rows of each split.
        newest: The train rows of the newest span.
        earlier: Those of all other spans.
    """

    figures: Mapping[str, Any]
    newest: TrainRows
    earlier: TrainRows


def read_window(statistics: Path, newest: int) -> Window:
    """Reads statistics.json.

    Args:
        statistics: The folder of the artifact.
        newest: The newest span of the window.

    Raises:
        UserError: The file is missing or damaged.
    """
    trains = {True: TrainRows(), False: TrainRows()}  # whether it is the newest -> its rows

    def of_span(number: str, span: OneSpan) -> dict[str, Any]:
        splits = span["splits"]
        if features.TRAIN in splits:
            trains[number == str(newest)].add(splits[features.TRAIN])
        return {
            "num_read": span["num_read"],
            "num_bad": span["num_bad"],
            "splits": {name: {"num_rows": split["num_rows"]} for name, split in splits.items()},
        }

    def of_split(_: str, split: SplitStatistics) -> dict[str, Any]:
        return as_figures(split)

    path = statistics / features.STATISTICS
    members: dict[str, Entries[Any, dict[str, Any]]] = {
        "spans": Entries(OneSpan, of_span),
        "splits": Entries(SplitStatistics, of_split),
    }
    try:
        figures, kept = read_by_entry(Statistics, path, members)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. {records.MADE_AGAIN}") from None
    if missing := [split for split in features.SPLITS if split not in kept["splits"]]:
        raise records.damaged(path, f"splits.{missing[0]} is missing", records.MADE_AGAIN)
    return Window({**figures, **kept}, trains[True], trains[False])
