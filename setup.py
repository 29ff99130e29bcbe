"""Kept beside pyproject.toml, which says everything.

Apache Beam ships a pipeline's code to its workers by --setup_file.
"""

from setuptools import setup

setup()
