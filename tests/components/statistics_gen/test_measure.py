"""The tokens that statistics_gen counts."""

import re

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from components.statistics_gen.measure import split

SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


@given(
    st.lists(
        st.text(st.sampled_from("aBé ß\t\n\x0b\x1c\x85\xa0\u2003\u3000\U0001f600")), max_size=8
    )
)
def test_tokens_are_what_white_space_separates(texts: list[str]) -> None:
    tokens, num_tokens = split(pa.array(texts, pa.large_string()))
    expected = [re.findall(f"[^{SPACES}]+", pc.utf8_lower(text).as_py()) for text in texts]
    assert num_tokens.tolist() == [len(row) for row in expected]
    assert sorted(tokens.to_pylist()) == sorted(token.encode() for row in expected for token in row)
