"""Bad rows: quoted in messages, and refused where there are too many of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seqline.errors import DataError
from seqline.rows.row import BadRow
from seqline.rows.unused import printable

# Bad rows that a message quotes.
NUM_QUOTED = 5


@dataclass(frozen=True)
class BadRows:
    """The bad rows of a source.

    Attributes:
        num_bad: How many there are.
        num_read: Rows that were read, good and bad.
        quoted: The first NUM_QUOTED of them, see `quote`.
    """

    num_bad: int
    num_read: int
    quoted: Sequence[str]

    @property
    def share(self) -> str:
        """`4 of 100 rows (4.00%)`."""
        return f"{self.num_bad:,} of {self.num_read:,} rows ({self.num_bad / self.num_read:.2%})"

    @property
    def listed(self) -> str:
        """`a.csv:3: the text is empty; a.csv:7: the label is empty ... and 2 more`."""
        num_more = self.num_bad - len(self.quoted)
        more = f" ... and {num_more:,} more" if num_more > 0 else ""
        return "; ".join(self.quoted) + more

    def check(self, section: str, max_bad_fraction: float, note: str = "") -> None:
        """Checks that there are no more of them than `<section>.max_bad_fraction` allows.

        Args:
            section: The section of the configuration that sets max_bad_fraction.
            max_bad_fraction: Its value.
            note: A sentence at the end of the message.

        Raises:
            DataError: There are more. The message quotes some and names a fraction that would do.
        """
        allowed = math.floor(max_bad_fraction * self.num_read + 1e-9)  # 0.29 * 100 is 28.999...
        if self.num_bad <= allowed:
            return

        setting = f"{section}.max_bad_fraction"
        enough = _enough_for(self.num_bad, self.num_read)
        way_out = (
            "" if enough is None else f", or set {setting} to {enough:g} to skip and list them"
        )
        raise DataError(
            f"{self.share} cannot be used; {setting} {max_bad_fraction:g} allows {allowed:,}: "
            f"{self.listed}. "
            f"Correct them{way_out}.{note and ' '}{note}"
        )


def quote(row: BadRow) -> str:
    """`a.csv:3: the text is empty`."""
    return f"{printable(row.file)}:{row.line}: {row.reason}"


def _enough_for(num_bad: int, num_read: int) -> float | None:
    """The lowest max_bad_fraction, rounded up to few digits, that allows so many bad rows.

    None where all rows are bad: max_bad_fraction is below 1.
    """
    if num_bad == num_read:
        return None

    digits = 2
    while True:
        fraction = math.ceil(num_bad / num_read * 10**digits) / 10**digits
        # One that allows a tenth more than there are is round enough.
        if fraction < 1 and fraction * num_read <= max(num_bad * 1.1, num_bad + 1):
            return fraction
        digits += 1
