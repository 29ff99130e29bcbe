"""Scripts of texts."""

import pytest

from seqline.data import scripts


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("good film", "latin"),
        ("хороший фильм", "cyrillic"),
        ("好电影", "cjk"),
        ("これはひどい", "hiragana"),
        ("فيلم جيد", "arabic"),
        ("123", ""),
    ],
)
def test_the_main_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert scripts.main_script([text]) == script


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        (["good film", "хороший"], 0.0),
        (["안녕 하세요"], 0.0),  # Korean has spaces
        (["好电影", "ไทยๆ", "ខ្មែរ", "ລາວ"], 1.0),
        (["カタカナー", "々", "ﾊﾝｶｸ"], 1.0),
        (["abcdef好电"], 0.25),
        (["123 !?"], 0.0),
    ],
)
def test_the_share_of_letters_without_spaces(texts: list[str], share: float) -> None:
    assert scripts.unspaced_share(texts) == share
