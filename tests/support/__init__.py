"""Shared parts of the tests: the checkout, servers, fakes of the cloud, reports and stages."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
