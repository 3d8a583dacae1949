"""A path in words: why the item at its end is recommended to someone who liked the item at its start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kgrl.candidates.roles import Role


@dataclass(frozen=True)
class Step:
    """One edge of a path, as it is walked.

    Args:
        relation: the forward relation's name.
        inverse: whether it is walked tail → head.
        node: where it leads.
    """

    relation: str
    inverse: bool
    node: int


def reason(seed: int, steps: Sequence[Step], name: Callable[[int], str], role: Callable[[str], Role]) -> str:
    """The path in words, to be read after the candidate's name: "shares the director Joel Coen with Fargo".

    It is told from the candidate back to the seed. Two steps over a node that is the same to both sides are one clause.
    A node without a name is told by what it is to its neighbours.

    Args:
        seed: where the path starts.
        steps: its edges.
        name: what a node is called, a function of its id; "": nobody knows.
        role: a relation in words, a function of its name.
    """
    nodes = [seed, *(step.node for step in steps)]
    text, at = "", len(steps)
    while at:
        last = steps[at - 1]
        if at > 1 and _same(steps[at - 2], last, role):
            at -= 2
            clause = _shared(role(steps[at].relation), role(last.relation), name(nodes[at + 1]), name(nodes[at]))
        else:
            at -= 1
            clause = _single(last, role(last.relation), name(nodes[at]))
        known = name(nodes[at])
        text += clause + (f", and {known} " if known else " that ") * bool(at)
    return text


def _same(to: Step, onward: Step, role: Callable[[str], Role]) -> bool:
    """Whether the node between two steps is the same thing to both sides."""
    first, second = role(to.relation), role(onward.relation)
    if first.noun and second.noun:
        return first.words == second.words and first.head == to.inverse and second.head != onward.inverse
    return to.relation == onward.relation and to.inverse != onward.inverse


def _shared(first: Role, last: Role, between: str, other: str) -> str:
    """What two nodes have in common: the one between them, which plays the role ``first`` to the ``other``."""
    other, what = other or "another entity", last.words
    if not last.noun:
        return f"is linked to {f'{between}, like' if between else 'the same entity as'} {other} ({what})"
    if first.verb != last.verb:
        return f"{last.verb} {f'the {what} {between}, which' if between else f'{_a(what)} that'} {other} {first.verb}"
    if last.verb == "has" and (between or last.many):
        return f"shares {f'the {what} {between}' if between else _a(what)} with {other}"
    return f"{last.verb} the {f'{what} {between}, like' if between else f'same {what} as'} {other}"


def _single(step: Step, role: Role, other: str) -> str:
    """What is said of the node that ``step`` leads to; ``other`` is where it comes from."""
    if not role.noun:
        return f"is linked to {other or 'an entity'} ({role.words})"
    if role.head != step.inverse:  # the other one plays the role
        return f"{role.verb} {f'the {role.words} {other}' if other else _a(role.words)}"
    return f"is {_a(role.words)} of {other or 'an entity'}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
