"""``plot_session``: one session, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from kgrl.objects import of_class, with_methods
from kgrl.options import at_least, expected
from kgrl.plots.picture import DISLIKED, LIKED, axes_for, namer
from kgrl.seeding import generator_for
from kgrl.sessions import Sessions


def plot_session(
    sessions: Sessions, row: int = 0, *, titles: Sequence[str] | None = None, candidates: Any = None, ax: Any = None
) -> Any:
    r"""Draws what one user was shown: a bar per step for the feedback, a mark for the reward, the candidates' number.

    .. math:: R(s_t, i_t) = r_t + \eta\,(c_p - c_n)

    (KGQR, Zhou et al., 2020, equation 16): how far the mark is off the bar's end is the streak term. The first step is
    at the top; a bar is green where the feedback was positive, else red.

    Args:
        sessions: finished or not; a past is not drawn.
        row: which of them.
        titles: ``[≥ N]``, what each item is called: :func:`kgrl.datasets.node_names`. ``None``: by ids.
        candidates: the rule, ``select(seeds, exclude, generator)``: how many candidates the session had before each
            step is written at the right. ``None``: nothing is.
        ax: Matplotlib's axes; ``None``: new ones.

    Returns:
        The axes.

    Raises:
        ImportError: Matplotlib is missing.
        TypeError, ValueError: no sessions, no such row, or an item beyond the titles.
    """
    if at_least("row", row, 0) >= len(of_class("sessions", sessions, Sessions)):
        raise ValueError(expected("row", f"below {len(sessions)}, the number of sessions", row))
    if candidates is not None:
        with_methods("candidates", candidates, "select", hint="see kgrl.candidates.KHopCandidates")
        of_class("candidates", candidates, nn.Module)
    session = sessions.rows(torch.tensor([row], device=sessions.device))
    first, steps = session.begin, int(session.length)
    items = session.items[0, first : first + steps].tolist()
    called = namer("titles", titles, max(items, default=-1) + 1)
    feedback, rewards, positive = (getattr(session, name)[0, first : first + steps].tolist()
                                   for name in ("feedback", "rewards", "positive"))
    ax = axes_for(ax, (8, 1.2 + 0.25 * steps))
    places = list(range(1, steps + 1))
    ax.barh(places, feedback, color=[LIKED if liked else DISLIKED for liked in positive], alpha=0.6, label="feedback")
    ax.plot(rewards, places, linestyle="none", marker="D", markersize=4, color="black", label="reward")
    ax.set_yticks(places, [f"{step}. {called(item)}" for step, item in zip(places, items, strict=True)],
                  fontsize="x-small")
    for place, count in enumerate(_counts(session, steps, candidates), start=1):
        ax.annotate(f"{count:,}", (1, place), xycoords=("axes fraction", "data"), xytext=(4, 0),
                    textcoords="offset points", va="center", fontsize="x-small")
    if candidates is not None:
        ax.annotate("candidates", (1, 1), xycoords="axes fraction", xytext=(4, 4), textcoords="offset points",
                    fontsize="x-small")
    ax.set_ylim(steps + 0.7, 0.3)  # the first step at the top
    ax.axvline(0, color="black", linewidth=0.8)
    user = f"user {int(session.users)}" if int(session.users) >= 0 else "a user"
    ax.set(xlabel="feedback and reward", title=f"{user}: {sum(positive)} of {steps} liked")
    if steps:
        ax.legend(fontsize="x-small", loc="lower right")
    return ax


def _counts(session: Sessions, steps: int, candidates: Any) -> list[int]:
    """How many candidates there were before each step; none without a rule."""
    found = []
    for step in range(session.begin, session.begin + steps):
        if candidates is not None:
            then = session.before(step)
            items, _ = candidates.select(then.liked, then.shown, generator_for(session.device, 0))
            found.append(len(items))
    return found
