"""seqline.

Raw text to a served SimpleRNN text classifier. `python -m seqline` is the command line.
"""

from pipeline import __version__

__all__ = ["__version__"]
