"""Pure. Standings: who stands on which level, what they have collected, and when they are reviewed.

Each fact counted carries its own date and the date it became known. A review looks at what happened *and* was known
before it, so a batch that runs days late comes to the verdict it would have come to on the day.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.events import ZERO, Event, EventId, HolderId, ProgrammeId
from tiersync.loyalty.journal import REVIEW, Journal
from tiersync.loyalty.ladders import Anchor, Balance, Climb, Earned, Ladder, Metric, in_units, of_purchase
from tiersync.loyalty.records import LadderId, LevelMove, Move, Reason


@dataclass(frozen=True, slots=True)
class Standing:
    """A holder's place on a ladder.

    `before` is the level the last climb left, nothing once that climb is confirmed by a review or by hand. The period
    under review began at `period`; what leads up is `counted` from `counted_from` on and makes `total` units.
    """

    rank: int
    joined: datetime
    since: datetime
    period: datetime
    counted_from: datetime | None = None
    counted: Decimal = ZERO
    total: Decimal = ZERO
    before: int | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """So much was added to a metric: when it happened, and when it became known."""

    at: datetime
    known: datetime
    amount: Decimal


BalanceOf = Callable[[HolderId, Balance, datetime], Decimal]
StandingKey = tuple[LadderId, HolderId]


class Standings:
    """All holders' places on all ladders."""

    __slots__ = ("_balance_of", "_facts", "_journal", "_ladders", "_levels", "_standings", "_touched", "_zone")

    def __init__(self, ladders: Iterable[Ladder], zone: tzinfo, journal: Journal, balance_of: BalanceOf) -> None:
        """Start empty; `balance_of` reads an account for ladders that measure what is in it."""
        self._ladders: Mapping[LadderId, Ladder] = {ladder.id: ladder for ladder in ladders}
        self._zone = zone
        self._journal = journal
        self._balance_of = balance_of
        self._standings: dict[StandingKey, Standing] = {}
        self._levels: dict[HolderId, Mapping[LadderId, str]] = {}
        self._facts: dict[tuple[LadderId, HolderId, Metric], list[Fact]] = {}
        self._touched: dict[StandingKey, None] = {}

    def extend(self, ladders: Iterable[Ladder]) -> None:
        """Go on with more ladders."""
        self._ladders = {ladder.id: ladder for ladder in ladders}
        self._levels = {}
        for (ladder, holder), standing in self._standings.items():
            level = self._ladders[ladder].levels[standing.rank].name
            self._levels[holder] = {**self._levels.get(holder, {}), ladder: level}

    # -- reading

    def get(self, ladder: LadderId, holder: HolderId) -> Standing:
        """A holder's standing; not standing on the ladder is an error."""
        self._ladder(ladder)
        if (ladder, holder) not in self._standings:
            raise LoyaltyError(f"{holder} does not stand on ladder {ladder}")
        return self._standings[ladder, holder]

    def counted(self, ladder: LadderId, holder: HolderId, at: datetime) -> Decimal:
        """What a holder has collected for the review to come, as known before `at`."""
        rungs = self._ladder(ladder)
        return self._in_period((ladder, holder), rungs.stay_metric or rungs.metric, self.get(ladder, holder).period, at)

    def levels(self, holder: HolderId) -> Mapping[LadderId, str]:
        """The holder's level on every ladder they stand on; never changed, so that who asked can keep it."""
        return self._levels.get(holder, {})

    # -- joining, counting

    def enter(self, holder: HolderId, programme: ProgrammeId | None, event: Event) -> None:
        """Put a holder on the lowest level of the programme's ladders."""
        for ladder in self._ladders.values():
            key = (ladder.id, holder)
            if ladder.programme != programme or key in self._standings:
                continue
            until = ladder.next_review(0, event.at, event.at, event.at, self._zone)
            standing = Standing(0, joined=event.at, since=event.at, period=event.at, until=until)
            self._place(key, standing, event, (Move.START, Reason.ENROLMENT), standing)

    def count_purchase(self, event: Event, known: datetime, amount: Decimal, visits: int) -> None:
        """Count a purchase, or with negative numbers what came back of it, in every ladder that measures purchases."""
        for ladder in self._ladders.values():
            if event.type in ladder.counted:
                for metric in _metrics(ladder):
                    fact = Fact(event.at, known, of_purchase(metric, amount, visits))
                    for holder in ladder.counts_for(event):
                        self._count((ladder.id, holder), metric, fact)

    def count_earned(self, holder: HolderId, metric: Earned, fact: Fact) -> None:
        """Count points earned, or with a negative amount taken back, in every ladder that measures that account."""
        for ladder in self._ladders.values():
            if metric in _metrics(ladder):
                self._count((ladder.id, holder), metric, fact)

    def touch(self, holder: HolderId, metric: Balance) -> None:
        """Look again at the ladders that measure a balance that changed."""
        for ladder in self._ladders.values():
            if ladder.metric == metric and (ladder.id, holder) in self._standings:
                self._touched[ladder.id, holder] = None

    def _count(self, key: StandingKey, metric: Metric, fact: Fact) -> None:
        if key not in self._standings or not fact.amount:
            return
        self._journal.append(self._journal.rows(self._facts, (*key, metric)), fact)
        standing = self._standings[key]
        counts = standing.counted_from is None or fact.at >= standing.counted_from
        if metric == self._ladder(key[0]).metric and counts:
            counted = standing.counted + fact.amount
            self._journal.put(self._standings, key, replace(standing, counted=counted, total=in_units(metric, counted)))
        self._touched[key] = None

    # -- moving

    def climb(self, event: Event, *, returned: bool) -> None:
        """Move whoever's metric changed: up where that is immediate, back down where a return undoes a climb."""
        touched, self._touched = self._touched, {}
        for key in touched:
            ladder, standing = self._ladder(key[0]), self._standings[key]
            qualified = ladder.qualified(self._total(key, event.at))
            if ladder.climb is Climb.NOW and qualified > standing.rank:
                self._move(key, qualified, Reason.METRIC, event)
            elif returned and ladder.recheck and standing.before is not None and qualified < standing.rank:
                target = max(qualified, standing.before)
                if target < standing.rank:
                    self._move(key, target, Reason.RETURN, event)

    def forget_touched(self) -> None:
        """Drop what a refused or previewed verb left to look at."""
        self._touched = {}

    def adjust(self, key: StandingKey, level: str, event: Event, until: datetime | None = None) -> None:
        """Put a holder on a level by hand; being there already is a renewal.

        If the event's attribute `pay_skipped` is false, levels that are jumped over do not count as crossed.
        """
        self.get(*key)
        self._move(key, self._ladder(key[0]).rank(level), Reason.MANUAL, event, until)

    def _move(self, key: StandingKey, rank: int, reason: Reason, event: Event, until: datetime | None = None) -> None:
        ladder, old = self._ladder(key[0]), self._standings[key]
        new = replace(old, rank=rank, since=event.at, before=old.rank if reason is Reason.METRIC else None)
        review = ladder.review_of(rank)
        afresh = review is not None and review.anchor is Anchor.LEVEL
        if afresh or review != ladder.review_of(old.rank):
            due = ladder.next_review(rank, event.at, old.joined, event.at, self._zone)
            new = replace(new, period=event.at if afresh else old.period, until=due)
        if until is not None:
            new = replace(new, until=until)
        move = Move.UP if rank > old.rank else Move.DOWN if rank < old.rank else Move.RENEW
        if move is Move.DOWN and reason is Reason.MANUAL:
            new = replace(new, counted_from=event.at, counted=ZERO, total=ZERO)
        self._place(key, new, event, (move, reason), old)

    # -- reviewing

    def review(self, key: StandingKey, at: datetime) -> bool:
        """Hold the review due at `at`; false if nothing is due then (a left-over of the agenda)."""
        standing = self._standings.get(key)
        if standing is None or standing.until != at:
            return False
        ladder = self._ladder(key[0])
        total = self._in_period(key, ladder.metric, standing.period, at)
        stayed = self._in_period(key, ladder.stay_metric or ladder.metric, standing.period, at)
        # A level reached after the period ended is not judged by that period: the run was merely late.
        late = standing.since >= at
        move, rank = (Move.RENEW, standing.rank) if late else ladder.verdict(standing.rank, total, stayed)
        since = standing.since if move is Move.RENEW else at
        new = replace(
            standing,
            rank=rank,
            since=since,
            period=at,
            before=None,
            until=ladder.next_review(rank, at, standing.joined, since, self._zone),
        )
        if ladder.reset or move is Move.DOWN:
            counted = self._sum(key, ladder.metric, lambda fact: fact.at >= at)
            new = replace(new, counted_from=at, counted=counted, total=in_units(ladder.metric, counted))
        cause = Event(EventId(f"review:{ladder.id}:{at.isoformat()}"), "review", key[1], at)
        self._place(key, new, cause, (move, Reason.REVIEW), standing)
        for metric in _metrics(ladder):
            later = [fact for fact in self._facts.get((*key, metric), ()) if fact.at >= at]
            self._journal.put(self._facts, (*key, metric), later)
        return True

    def _place(
        self,
        key: StandingKey,
        standing: Standing,
        event: Event,
        why: tuple[Move, Reason],
        old: Standing,
    ) -> None:
        self._journal.put(self._standings, key, standing)
        if standing.until is not None:
            self._journal.schedule((standing.until, REVIEW, key[1], key[0], 0))
        names = [level.name for level in self._ladder(key[0]).levels]
        self._journal.put(self._levels, key[1], {**self.levels(key[1]), key[0]: names[standing.rank]})
        crossed = tuple(names[old.rank + 1 : standing.rank + 1])
        self._journal.write(
            LevelMove(
                seq=self._journal.next_seq,
                at=event.at,
                cause=event.id,
                holder=key[1],
                ladder=key[0],
                move=why[0],
                reason=why[1],
                before=names[old.rank],
                after=names[standing.rank],
                crossed=crossed[-1:] if event.attrs.get("pay_skipped") is False else crossed,
                until=standing.until,
            )
        )

    def _total(self, key: StandingKey, at: datetime) -> Decimal:
        metric = self._ladder(key[0]).metric
        if isinstance(metric, Balance):
            return self._balance_of(key[1], metric, at)
        return self._standings[key].total

    def _in_period(self, key: StandingKey, metric: Metric, start: datetime, end: datetime) -> Decimal:
        if isinstance(metric, Balance):
            return self._balance_of(key[1], metric, end)
        return in_units(metric, self._sum(key, metric, lambda fact: start <= fact.at < end and fact.known < end))

    def _sum(self, key: StandingKey, metric: Metric, wanted: Callable[[Fact], bool]) -> Decimal:
        return sum((fact.amount for fact in self._facts.get((*key, metric), ()) if wanted(fact)), ZERO)

    def _ladder(self, ladder: LadderId) -> Ladder:
        if ladder not in self._ladders:
            raise LoyaltyError(f"there is no ladder {ladder!r}; there are {', '.join(sorted(self._ladders))}")
        return self._ladders[ladder]


def _metrics(ladder: Ladder) -> tuple[Metric, ...]:
    if ladder.stay_metric is None or ladder.stay_metric == ladder.metric:
        return (ladder.metric,)
    return (ladder.metric, ladder.stay_metric)
