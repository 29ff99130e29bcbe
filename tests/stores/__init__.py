"""Runs, locks and servers on object stores that others wrote: `make test-stores`."""
