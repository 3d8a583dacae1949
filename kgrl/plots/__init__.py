"""Pictures: an item's surroundings in the KG, a cluster tree, a session step by step, vectors in two dimensions.

Each draws on Matplotlib's ``Axes`` and gives them back, new ones where ``ax`` is not given;
``ax.figure.savefig("a.png")`` writes a file. Matplotlib comes with the extra ``kgrl[examples]``, and is imported when
something is drawn.
"""

from kgrl.plots.item_picture import plot_item
from kgrl.plots.session_picture import plot_session
from kgrl.plots.vector_picture import plot_tree, plot_vectors, shared_entities

__all__ = ["plot_item", "plot_session", "plot_tree", "plot_vectors", "shared_entities"]
