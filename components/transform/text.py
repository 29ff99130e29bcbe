"""From a text to its tokens, as TensorFlow ops: the only code that reads texts.

Training and serving both use it.
"""

from typing import Literal

import tensorflow as tf

from components.transform.nfc import nfc

Tokens = Literal["word", "char"]


# Control characters and separators (Unicode categories Cc, Zs, Zl, Zp), except the plain space.
SEPARATORS = r"\x00-\x1f\x7f-\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
# Not simply [\p{Cc}\p{Z}]+: to replace every single space by a space would take a third of a text's
# time.
SPACES = f"[{SEPARATORS}][ {SEPARATORS}]*| [ {SEPARATORS}]+"

# tf.strings.lower follows the process's locale, and a server's need not be the trainer's: I and
# \u0130 differ in Turkish; I, J and these letters with an accent differ in Lithuanian. They are
# lowered before it sees them, so that they are the same everywhere (Unicode's SpecialCasing.txt).
LOCALE_DEPENDENT = {
    "\u0130": "i\u0307",
    "\u00cc": "\u00ec",
    "\u00cd": "\u00ed",
    "\u0128": "\u0129",
    "\u012e": "\u012f",
}


def normalize(text: tf.Tensor, lowercase: bool = True) -> tf.Tensor:
    """Normalises texts: valid UTF-8 in normalization form C, lower case, with single spaces.

    Bytes that are not UTF-8 become U+FFFD. Format characters (soft hyphen, zero-width joiners, byte
    order mark) are removed. Every run of control and separator characters, including U+0085 and
    no-break spaces, becomes one space.

    Args:
        text: [batch], any bytes.
        lowercase: whether to fold upper case to lower case.

    Returns:
        Normalised texts [batch].
    """
    # Most rows of most data sets are plain ASCII, which takes a third of the work.
    is_ascii = tf.strings.regex_full_match(text, r"[\x20-\x7e]*")  # [batch]
    other = tf.where(tf.logical_not(is_ascii))  # [num_other, 1]

    plain = tf.strings.lower(text) if lowercase else text
    plain = tf.strings.strip(tf.strings.regex_replace(plain, "  +", " "))
    normalized = _normalize(tf.gather_nd(text, other), lowercase)  # [num_other]
    return tf.tensor_scatter_nd_update(plain, other, normalized)


def _normalize(text: tf.Tensor, lowercase: bool) -> tf.Tensor:
    text = tf.strings.regex_replace(text, r"\x00", " ")  # tf.strings.lower would end the text there
    if lowercase:
        text = tf.strings.lower(text)  # ASCII only
        for upper, lower in LOCALE_DEPENDENT.items():
            text = tf.strings.regex_replace(text, upper, lower)
        text = tf.strings.lower(text, encoding="utf-8")  # replaces invalid bytes, too
    else:
        text = tf.strings.unicode_transcode(
            text, "UTF-8", "UTF-8", errors="replace", replacement_char=0xFFFD
        )

    text = nfc(tf.strings.regex_replace(text, r"\p{Cf}+", ""))
    return tf.strings.strip(tf.strings.regex_replace(text, SPACES, " "))


def tokenize(text: tf.Tensor, tokens: Tokens) -> tf.RaggedTensor:
    """The tokens of normalised texts.

    Args:
        text: [batch].
        tokens: "word" for runs of letters, marks and digits of any script, with every other
            character but the space as a token of its own; "char" for all characters, spaces
            included.

    Returns:
        Tokens [batch, (num_tokens)].
    """
    if tokens == "char":
        return tf.strings.unicode_split(text, "UTF-8")
    return tf.strings.split(tf.strings.regex_replace(text, r"([^\p{L}\p{M}\p{N} ])", r" \1 "))
