"""A path in words: why the item at its end is recommended to someone who liked the item at its start."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.objects import of_class
from kgrl.options import expected

MANY = 1.5  # above so many on average, "the same actor" would be wrong: there are others

# where the general rules of `role_of` read badly
NOUNS = {
    "award nomination": "award", "award won": "award", "awards won": "award", "cinematography": "cinematographer",
    "content rating": "age rating", "country of origin": "country", "directed by": "director", "edited by": "editor",
    "film genre": "genre", "film subject": "subject", "illustrations by": "illustrator", "literary genre": "genre",
    "literary series": "series", "music": "composer", "music by": "composer", "original language": "language",
    "part of series": "series", "produced by": "producer", "published by": "publisher", "rating": "age rating",
    "starring": "actor", "written by": "author",
}
VERBS = {"award nomination": "was nominated for", "award won": "won", "awards won": "won"}
FILM_NOUNS = {"written by": "writer"}
NO_NOUN = re.compile(r"relation \d+|\d+|.* (by|in|of|for|from|to|with|at|on)( this .*)?")


@dataclass(frozen=True)
class Role:
    """What one end of a relation's triples is to the other: in (Fargo, directed_by, Joel Coen) the tail is a director.

    Args:
        words: "director"; where ``noun`` is false, all that is known of the relation, as "relation 3".
        noun: whether ``words`` can stand after "has the".
        verb: what stands before it: "has the director", "won the award".
        head: whether the head plays the role: ``film.director.film`` leads from a director to a film.
        many: whether there usually are several, as of actors.
    """

    words: str
    noun: bool = True
    verb: str = "has"
    head: bool = False
    many: bool = False


def role_of(relation: str) -> Role:
    """The role that a relation's raw name tells, by general rules and a small table of well-known names.

    The last part of the name counts, in the singular: ``film.film.genre`` → "genre", ``has_attribute`` → "attribute",
    ``http://dbpedia.org/ontology/musicComposer`` → "music composer". Freebase's inverse names, whose last part is the
    work itself, tell the role of the head: ``film.director.film`` → "director". A number, and a name that is no noun
    (``influenced_by``), stay as they are.

    Args:
        relation: its name as the KG has it, or as ``kg.relation_names`` has it.
    """
    parts = [_words(part) for part in re.split(r"[/#]", relation.rstrip("/#."))[-1].split(".")]
    last, head, table = parts[-1], False, NOUNS
    if len(parts) > 2:
        domain, kind = parts[-3:-1]
        head = kind != domain and last.split(" ")[0] in (domain, f"{domain}s", "work", "works")
        last = kind if head else last
        table = NOUNS | FILM_NOUNS if domain == "film" else NOUNS
    last = re.sub(r"^(has|is) ", "", last)
    noun = table.get(last) or table.get(_singular(last))
    if noun is None and NO_NOUN.fullmatch(last):
        return Role(f"relation {last}" if last.isdecimal() else last, noun=False)
    return Role(noun or _singular(last), verb=VERBS.get(last, "has"), head=head)


def relation_words(data: HeteroData) -> dict[str, Role]:
    """The role that each relation of a data set tells: what :meth:`kgrl.candidates.Path.describe` reads.

    Args:
        data: any ``HeteroData`` with ``relation_names``; raw names, which tell more, come from its ``provenance``.

    Returns:
        A role for each of ``data.relation_names``.
    """
    if "relation_names" not in of_class("data", data, HeteroData):
        raise ValueError(expected("data", "a data set with `relation_names`", data.node_types))
    names = list(data.relation_names)
    raw = data.provenance.get("relations", names) if "provenance" in data else names
    roles = {name: role_of(str(each)) for name, each in zip(names, raw, strict=True)}
    return {name: replace(role, many=_average(data, name, role.head) > MANY) for name, role in roles.items()}


def _average(data: HeteroData, relation: str, head: bool) -> float:
    """How many tails (``head``: heads) a node with at least one of ``relation`` has, on average."""
    edges = [(kind, data[kind].edge_index) for kind in data.edge_types if kind[1] == relation]
    count = sum(edge_index.size(1) for _, edge_index in edges)
    owners: dict[str, list[Tensor]] = {}
    for kind, edge_index in edges:
        owners.setdefault(kind[2 if head else 0], []).append(edge_index[1 if head else 0])
    return count / max(1, sum(len(torch.cat(parts).unique()) for parts in owners.values()))


def _words(part: str) -> str:
    """``directed_by`` and ``directedBy`` as "directed by"."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part)).strip().lower()


def _singular(words: str) -> str:
    if re.search(r"(series|species|ss|us|is)$", words):
        return words
    return re.sub(r"ies$", "y", words) if words.endswith("ies") else re.sub(r"s$", "", words)


@dataclass(frozen=True)
class PathStep:
    """One edge of a path, as it is walked.

    Args:
        relation: the forward relation's name.
        inverse: whether it is walked tail → head.
        node: where it leads.
    """

    relation: str
    inverse: bool
    node: int


def reason(seed: int, steps: Sequence[PathStep], name: Callable[[int], str], role: Callable[[str], Role]) -> str:
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


def _same(to: PathStep, onward: PathStep, role: Callable[[str], Role]) -> bool:
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


def _single(step: PathStep, role: Role, other: str) -> str:
    """What is said of the node that ``step`` leads to; ``other`` is where it comes from."""
    if not role.noun:
        return f"is linked to {other or 'an entity'} ({role.words})"
    if role.head != step.inverse:  # the other one plays the role
        return f"{role.verb} {f'the {role.words} {other}' if other else _a(role.words)}"
    return f"is {_a(role.words)} of {other or 'an entity'}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
