"""From a text to its tokens, as TensorFlow ops.

The one place where a text is read, in training and in serving alike.
"""

from typing import Literal

import tensorflow as tf

from components.transform.nfc import nfc

Tokens = Literal["word", "char"]


# Control characters and separators (Unicode categories Cc, Zs, Zl, Zp), the plain space aside.
SEPARATORS = r"\x00-\x1f\x7f-\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
# Not simply [\p{Cc}\p{Z}]+: replacing each single space by a space would be a third of the cost of
# a text.
SPACES = f"[{SEPARATORS}][ {SEPARATORS}]*| [ {SEPARATORS}]+"

# tf.strings.lower asks the process's locale, and a server's is not the trainer's: in Turkish I and
# \u0130 differ, in Lithuanian I, J and these with an accent. Lowered before it sees them, they are
# the same everywhere (Unicode's SpecialCasing.txt).
LOCALE_DEPENDENT = {
    "\u0130": "i\u0307",
    "\u00cc": "\u00ec",
    "\u00cd": "\u00ed",
    "\u0128": "\u0129",
    "\u012e": "\u012f",
}


def normalize(text: tf.Tensor, lowercase: bool = True) -> tf.Tensor:
    """Valid UTF-8 in normalization form C, lower case, with single spaces.

    Text and result are [batch].

    Bytes that are not UTF-8 become U+FFFD; format characters (soft hyphen, zero-width joiners, byte
    order mark) go; every run of control and separator characters, U+0085 and no-break spaces
    included, becomes one space.
    """
    # Most rows of most sets are plain ASCII, and need a third of the work.
    other = tf.where(
        tf.logical_not(tf.strings.regex_full_match(text, r"[\x20-\x7e]*"))
    )  # [num_other, 1]
    plain = tf.strings.lower(text) if lowercase else text
    plain = tf.strings.strip(tf.strings.regex_replace(plain, "  +", " "))
    return tf.tensor_scatter_nd_update(
        plain, other, _normalize(tf.gather_nd(text, other), lowercase)
    )


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
    """The tokens of normalised texts, [batch, (num_tokens)].

    "word": runs of letters, marks and digits of any script; every other character is a token of its
    own. "char": every character, a space included.
    """
    if tokens == "char":
        return tf.strings.unicode_split(text, "UTF-8")
    return tf.strings.split(tf.strings.regex_replace(text, r"([^\p{L}\p{M}\p{N} ])", r" \1 "))
