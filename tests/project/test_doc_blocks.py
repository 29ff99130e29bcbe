from pathlib import Path

import pytest

from tests.support.doc_blocks import blocks_of, run_page

PAGE = """# A page

<!-- file: data/rows.csv -->
```
text,label
```

```shell
export WHO=reader
mkdir sub; cd sub
cat ../data/rows.csv
```

```text
text,label
```

A reader's variables and folder stay. A list may hold a block, too:

- ```shell
  echo "$WHO in $(basename "$PWD"), port 8501"
  echo took 1.25 s
  ```

```text
reader in sub, port 9999
took ... s
```

<!-- exit code: 3 -->
```shell
exit 3
```

<!-- keeps running until the end; ready: serving -->
```shell
echo serving; sleep 1000
```

<!-- not run: it needs a GPU -->
```shell
false
```

```python
number = 6
```

```python
print(number * 7)
```

```text
42
```
"""


def page_of(text: str, folder: Path) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def test_runs_the_blocks_of_a_page_in_order(tmp_path: Path) -> None:
    (tmp_path / "reader").mkdir()
    printed = run_page(page_of(PAGE, tmp_path), tmp_path / "reader", {"8501": "9999"})
    assert printed == [
        "", "text,label\n", "", "reader in sub, port 9999\ntook 1.25 s\n", "", "", "serving\n",
        "", "", "42\n", "",
    ]  # fmt: skip  # a line for each block would say less


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```shell\nfalse\ntrue\n```\n", r"page.md:1 ended with 1"),
        ("```shell\necho a\n```\n\n```text\nb\n```\n", r"page.md:5 shows\nb\n\nbut .*:\na\n"),
        ("```python\nprint(x)\n```\n", r"(?s)page.md:1 ended with 1:.*NameError"),
        ("```toml\na = 1\n```\n", r"page.md:1: a block of toml that no test runs"),
        ("```text\na\n```\n", r"page.md:1: no block before it prints this"),
        ("text\n\n    seqline run\n", r"page.md:3: fence this block"),
        ("```shell\n", r"page.md:1: nothing ends this block"),
        (
            "<!-- keeps running until the end; ready: up -->\n```shell\necho down\n```\n",
            r"page.md:2 ended:\necho down\n\ndown\n",
        ),
    ],
)
def test_a_page_that_is_wrong_fails_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=message):
        run_page(page_of(text, tmp_path), tmp_path)


def test_a_block_knows_its_place_and_its_comment(tmp_path: Path) -> None:
    (block,) = blocks_of(page_of("# A\n\n<!-- not run: no GPU -->\n```shell\nrun\n```\n", tmp_path))
    assert (block.place, block.language, block.text) == ("page.md:4", "shell", "run\n")
    assert (block.directive, block.value) == ("not run", "no GPU")
