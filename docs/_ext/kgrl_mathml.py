"""Equations as MathML, which browsers draw by themselves: no script and no network is needed."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOG = logging.getLogger(__name__)
NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", NAMESPACE)
KNOWN = {r"\dots": r"\ldots", r"\Big": r"\Bigl", r"\big": r"\bigl"}
"""What docutils does not know, by what it does."""
MEANT = re.compile("|".join(rf"{re.escape(name)}(?![a-zA-Z])" for name in KNOWN))
ACCENTS = ("~", "ˆ", "¯")
ENTITY = re.compile(r"&(?!amp;|lt;|gt;|quot;|apos;|#)\w+;")
"""Of HTML, which XML does not have."""
ROWS = re.compile(r"\n\s*\n")


def known(text: str, block: bool) -> str:
    """An equation as docutils takes it; as everywhere in Sphinx, an empty line in a block begins a new row."""
    text = MEANT.sub(lambda found: KNOWN[found[0]], text)
    if block and r"\begin" not in text and (ROWS.search(text.strip()) or "&" in text or r"\\" in text):
        return rf"\begin{{aligned}}{ROWS.sub(lambda found: chr(92) * 2 + ' ', text.strip())}\end{{aligned}}"
    return text


def indexed(mathml: str) -> str:
    """With the index of an accented letter beside it; docutils puts it below, as if it were a limit."""
    root = ElementTree.fromstring(ENTITY.sub(lambda found: html.unescape(found[0]), mathml))
    for node in list(root.iter(f"{{{NAMESPACE}}}munderover")):
        letter, index, accent = node
        if accent.text in ACCENTS:
            node.tag = f"{{{NAMESPACE}}}msub"
            node[:] = [ElementTree.Element(f"{{{NAMESPACE}}}mover", accent="true"), index]
            node[0].extend([letter, accent])
    return ElementTree.tostring(root, encoding="unicode")


def write(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """An equation; one that docutils cannot write stands as it is, with a warning."""
    block = isinstance(node, nodes.math_block)
    text = known(node.astext(), block)
    try:
        made = indexed(tex2mathml(text, as_block=block))
    except Exception as error:  # of several kinds, none of them documented
        LOG.warning("an equation cannot be written as MathML (%s): %s", error, text, location=node)
        made = f"<code>{self.encode(text)}</code>"
    self.body.append(f'<div class="math">{made}</div>\n' if block else made)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes Sphinx call it."""
    app.add_html_math_renderer("mathml", (write, None), (write, None))
    return {"parallel_read_safe": True}
