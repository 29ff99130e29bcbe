"""How Sphinx makes the site of these pages: `make docs`.

The pages are Markdown that reads well on GitHub, too. So a link may point outside docs/, and
CONTRIBUTING.md, CHANGELOG.md and SECURITY.md stay at the root. `_read` joins both in the site.
"""

import os
import re
from pathlib import Path
from typing import Any

import seqline

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/seqline/seqline"
# Pages that show a file of the root in the place of a line that is a link to it and nothing else.
WHOLE_FILES = {"changelog": "CHANGELOG.md", "contributing/index": "CONTRIBUTING.md"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]{1,200})(?=[)#])")

project = "seqline"
author = "the authors of seqline"
release = version = seqline.__version__
copyright = f"2026, {author}"  # noqa: A001 - Sphinx reads this name

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["**.ipynb_checkpoints"]
# Most blocks are commands with what they print: no language has them.
highlight_language = "none"
default_role = "code"  # of `names` in docstrings
nitpicky = True
# What is not in the API: other projects, whose inventories are on the network, and inner classes.
nitpick_ignore_regex = [(r"py:.*", r"(?!seqline\.).*")]
# A pattern of a toctree may have no page yet.
suppress_warnings = ["toc.empty_glob"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # the anchors that GitHub makes
nb_execution_mode = "off"  # a test executes the notebooks
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
copybutton_prompt_text = "$ "

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/logo.svg"
html_context = {"default_mode": "auto"}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": project, "image_light": "static/logo.svg", "image_dark": "static/logo.svg"},
    "github_url": REPOSITORY,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "navigation_depth": 3,
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}


def setup(app: Any) -> None:
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _with_blocks, priority=400)  # before napoleon


def _read(app: Any, docname: str, source: list[str]) -> None:
    """Gives the page of a root file its text, and links to files outside docs/ their address."""
    page = app.env.doc2path(docname)
    text = source[0]
    if docname in WHOLE_FILES:
        file = ROOT / WHOLE_FILES[docname]
        app.env.note_dependency(str(file))
        shown = _with_links(file.read_text(encoding="utf-8"), ROOT, page.parent)
        line = f"[{file.name}]({os.path.relpath(file, page.parent)})\n"
        before, _, after = text.partition(line)
        source[0] = before + shown + _with_links(after, page.parent, page.parent)
    else:
        source[0] = _with_links(text, page.parent, page.parent)


def _with_links(text: str, written_in: Path, read_in: Path) -> str:
    """The text with its relative links as the page in the folder `read_in` needs them."""
    pages = {ROOT / file: DOCS / f"{docname}.md" for docname, file in WHOLE_FILES.items()}

    def moved(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(written_in / match[1]))
        if not target.exists():
            return match[0]  # Sphinx names it, or it is code
        target = pages.get(target, target)
        if target == ROOT / "README.md" and not text.startswith("#", match.end()):
            target = DOCS / "index.md"  # which has not the README's headings
        if not target.is_relative_to(DOCS):
            kind = "tree" if target.is_dir() else "blob"
            return f"{REPOSITORY}/{kind}/main/{target.relative_to(ROOT)}"
        return os.path.relpath(target, read_in)

    return LINK.sub(moved, text)


def _with_blocks(app: Any, kind: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Lets indented paragraphs of a docstring's prose be blocks, as they are in Markdown."""
    shown: list[str] = []
    is_prose = True
    for line in lines:
        is_indented = line.startswith(" ")
        if line and not is_indented:
            is_prose = re.fullmatch(r"[A-Z]\w+:", line) is None  # or a section, such as "Args:"
        starts = len(shown) > 1 and not shown[-1] and not shown[-2].startswith(" ")
        if is_indented and is_prose and starts:
            shown += ["::", ""]
        shown.append(line)
    lines[:] = shown
