"""Kept beside pyproject.toml, which says everything but the long description.

Apache Beam ships a pipeline's code to its workers by --setup_file.
"""

import re
from pathlib import Path

from setuptools import setup

FILES = "https://github.com/seqline/seqline/blob/main/"


def long_description() -> str:
    """README.md, whose links to files of the checkout lead anywhere from a package index, too."""
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((?!#|[a-z]+:)", f"]({FILES}", readme)


setup(long_description=long_description(), long_description_content_type="text/markdown")
