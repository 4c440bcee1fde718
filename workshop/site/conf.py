"""How Sphinx makes the site. `__main__.py` beside this file runs it; `toc.yml` has the order of the pages."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
from pathlib import Path

import mermaidx
from docutils import nodes
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

project = html_title = "dockerlab"
language = "en"
extensions = ["myst_nb", "sphinx_external_toc"]
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "notebooks/[0-9]*.ipynb",
    "workshop/TEACHING.md",
    "workshop/hub/README.md",
]
exclude_patterns = [".*", "build", "kit", "dockerlab-kit-*", "sample_app", "tests", "workspace", "notebooks/workspace"]
external_toc_path = "workshop/site/toc.yml"
myst_heading_anchors = 3
nb_execution_mode = "off"  # what is shown is the output that is committed and tested
nb_merge_streams = True
suppress_warnings = [
    "misc.highlighting_failure",  # a cell with %%writefile holds another language
]

html_theme = "furo"
html_static_path = ["static"]
templates_path = ["templates"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
# Light and dark with enough contrast; the usual styles have not.
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
html_show_sourcelink = html_copy_source = html_show_copyright = html_use_index = False

EMPTY_HEADING = re.compile(r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>")
LINK_TO_LESSON = re.compile(r'(<a href="\d\d_\w+)\.ipynb(?=[#"])')


def describe_figures(app, docname, source) -> None:
    """Give each figure of a lesson the description that the lesson itself gives it."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        figures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        words = [figure["metadata"].get("image/png", {}).get("alt") for figure in figures]
        if len(figures) > 1 or not all(words):
            # The description is kept for each output; the site's can be set for each cell only.
            logging.getLogger(__name__).warning(
                "cell %s: a figure has no description, or a cell has two figures", cell["id"], location=docname
            )
        elif figures:
            cell["metadata"]["mystnb"] = {"image": {"alt": words[0]}}
    source[0] = json.dumps(notebook)


def draw_diagrams(app, doctree, docname) -> None:
    """Draw each Mermaid diagram, here and now: no page loads a library, least of all from another machine."""
    for block in list(doctree.findall(nodes.literal_block)):
        if block.get("language") != "mermaid":
            continue
        source = block.astext()
        svg = mermaidx.render(source, theme="neutral").svg()
        name = f"_images/{hashlib.sha256(source.encode()).hexdigest()[:16]}.svg"
        path = Path(app.outdir, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(svg, encoding="utf-8")
        words = [
            found.group(1) for key in ("Title", "Descr") if (found := re.search(rf"^\s*acc{key}: *(.+)$", source, re.M))
        ]
        address = relative_uri(app.builder.get_target_uri(docname), name)
        text = f'<img class="diagram" src="{address}" alt="{html.escape(". ".join(words))}">'
        block.replace_self(nodes.raw("", text, format="html"))


def mend_html(app, pagename, templatename, context, doctree) -> None:
    """Where a lesson holds HTML itself: its links to lessons, and headings of tables.

    A heading with no words is none: the corner of a table is a cell like others.
    """
    if "body" in context:
        context["body"] = LINK_TO_LESSON.sub(r"\1.html", EMPTY_HEADING.sub("<td></td>", context["body"]))


def open_with_readme(app, exception) -> None:
    """A folder's own address shows the README, too."""
    if not exception:
        shutil.copyfile(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app) -> None:
    """Called by Sphinx."""
    app.connect("source-read", describe_figures)
    app.connect("doctree-resolved", draw_diagrams)
    app.connect("html-page-context", mend_html)
    app.connect("build-finished", open_with_readme)
