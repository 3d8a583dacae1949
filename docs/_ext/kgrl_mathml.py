"""Equations as MathML, which browsers draw by themselves: no script and no network is needed."""

from __future__ import annotations

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOG = logging.getLogger(__name__)
KNOWN = {r"\dots": r"\ldots", r"\Big": r"\Bigl", r"\big": r"\bigl"}
"""What docutils does not know, by what it does."""
MEANT = re.compile("|".join(rf"{re.escape(name)}(?![a-zA-Z])" for name in KNOWN))


def write(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """An equation; one that docutils cannot write stands as it is, with a warning."""
    block = isinstance(node, nodes.math_block)
    text = MEANT.sub(lambda found: KNOWN[found[0]], node.astext())
    if block and ("&" in text or r"\\" in text) and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    try:
        made = tex2mathml(text, as_block=block)
    except Exception as error:  # of several kinds, none of them documented
        LOG.warning("an equation cannot be written as MathML (%s): %s", error, text, location=node)
        made = f"<code>{self.encode(text)}</code>"
    self.body.append(f'<div class="math">{made}</div>\n' if block else made)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes Sphinx call it."""
    app.add_html_math_renderer("mathml", (write, None), (write, None))
    return {"parallel_read_safe": True}
