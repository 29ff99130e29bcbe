"""Hostile texts, and pages that are checked as they are parsed."""

from html.parser import HTMLParser

from hypothesis import strategies as st

# Elements of HTML that have no end tag.
VOID = {"meta", "link", "br", "input"}

# What a page, a terminal or Markdown must show and not do.
NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style></title></textarea><svg onload=alert(3)>",
    "{{ 7 * 7 }}{% raw %}",
    "a|b`c` *d* [e](javascript:alert(4)) @octocat #1 <!-- -->",
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "\u202egnp.exe\u202c \u2066x\u2069 \u05e9\u05dc\u05d5\u05dd",
    "W" * 300,
    " leading\nand\r\nlines\tand \0 nothing",
    "\U0001f469\u200d\U0001f680 \ud800 end",
]

TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=60),
    st.text("\\`*_{}[]()#+-!|~>:.<&;@/wW \x1b\u202e\n", max_size=30),
)


class Page(HTMLParser):
    """Collects the texts and tags of a page, and checks it.

    Every element is closed, every id is unique, and every reference to an id finds it.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))

        for _, attributes in self.tags:
            for name in (attributes.get("aria-labelledby") or "").split():
                assert name in ids
            if (target := attributes.get("href") or "").startswith("#"):
                assert target[1:] in ids

        assert all("scope" in attributes for tag, attributes in self.tags if tag == "th")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def shown(self) -> str:
        """The texts, with one space in place of any white space."""
        return " ".join("".join(self.text).split())
