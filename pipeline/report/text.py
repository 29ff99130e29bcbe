"""Texts made safe to show, see `seqline.text`."""

from seqline.text import clean, code, markdown, shorten

__all__ = ["clean", "code", "markdown", "shorten"]
