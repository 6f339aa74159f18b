"""Pure. Resolvers: of the candidates of one event, which are awarded.

A resolver is a function from candidates to candidates, so filters and choices are the same thing and compose with
`chain`. Whatever order candidates come in, rank and id decide ties; the first wins.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

from tiersync.loyalty.rules import Candidate

Resolver: TypeAlias = Callable[[Sequence[Candidate]], tuple[Candidate, ...]]
Key: TypeAlias = Callable[[Candidate], Hashable]


def all_matched(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Everything, in order of rank and id."""
    return tuple(sorted(candidates, key=lambda candidate: candidate.order))


def first(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The first by rank and id: branches that exclude one another."""
    return all_matched(candidates)[:1]


def best(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The one of the largest value."""
    return tuple(sorted(candidates, key=lambda candidate: (-candidate.value, *candidate.order))[:1])


def programme(candidate: Candidate) -> Hashable:
    """Key: the candidate's programme."""
    return candidate.rule.programme


def kind(candidate: Candidate) -> Hashable:
    """Key: the candidate's kind."""
    return candidate.rule.kind


def per(key: Key, resolver: Resolver) -> Resolver:
    """Let `resolver` choose within each group of candidates that share a key."""

    def choose(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        groups: dict[Hashable, list[Candidate]] = {}
        for candidate in candidates:
            groups.setdefault(key(candidate), []).append(candidate)
        return all_matched([chosen for group in groups.values() for chosen in resolver(group)])

    return choose


def best_per(key: Key) -> Resolver:
    """The best of each group."""
    return per(key, best)


def only(wanted: str, resolver: Resolver) -> Resolver:
    """Let `resolver` choose among one kind and leave the others alone."""

    def choose(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        chosen = resolver([candidate for candidate in candidates if candidate.rule.kind == wanted])
        return all_matched([*chosen, *(row for row in candidates if row.rule.kind != wanted)])

    return choose


def drop_if_spending(unwanted: str) -> Resolver:
    """Drop one kind when the holder pays any part of this event out of their accounts."""

    def choose(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        return tuple(row for row in candidates if not (row.event.spend and row.rule.kind == unwanted))

    return choose


def drop_worthless(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Drop what would give nothing, so that it cannot win."""
    return tuple(candidate for candidate in candidates if candidate.value)


def chain(*resolvers: Resolver) -> Resolver:
    """One after the other, each on what the one before left."""

    def choose(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        for resolver in resolvers:
            candidates = resolver(candidates)
        return tuple(candidates)

    return choose
