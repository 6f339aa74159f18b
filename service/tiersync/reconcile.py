"""Comparing groups with their primary in Capillary, key by key, and ordering the repair of what differs.

A reconcile is a job: its keys are read one after the other, at its rate, by reading calls alone. For a key with drift
it writes one event, in the same commit as its own position; the worker adjusts whom the event names, by the path of
everything else. Whoever holds the job's lease goes on with it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import structlog

from tiersync import drift, intake
from tiersync.capillary import Capillary, NotPrimary, NotTried
from tiersync.drift import Leader, Standing
from tiersync.errors import StoreUnavailable
from tiersync.fanout import Group, Held, Member, Policy, SeveralGroups, Tier
from tiersync.intake import ANY_ORG, Arrival
from tiersync.retry import Refused, TryAgain
from tiersync.store import Advance, Comparison, Job, JobKind, JobStatus, Keys, Known, Store, WantJob
from tiersync.store.reconciling import primary_of
from tiersync.store.writer import Step

log: Final = structlog.get_logger("tiersync.reconcile")

SCHEDULE: Final = "schedule"
_KINDS: Final = (JobKind.RECONCILE,)
_HOUR_MS: Final = 3_600_000
_PUT_DOWN_S: Final = 5.0
_CALLS_OF_A_REPAIR: Final = 2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Org:
    """What a reconcile needs of one org. `every_h` 0: it is not scheduled; `keys_max` keys then a pass."""

    capillary: Capillary
    policy: Policy
    attempt_s_max: float
    members_max: int
    calls_per_minute_max: int
    every_h: float
    keys_max: int


@dataclass(frozen=True, slots=True)
class Unread:
    """Capillary did not say where somebody stands. `member` is None if not even the group could be compared."""

    key: Known
    member: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Drifted:
    """A secondary that is elsewhere than its primary. `under_way`: work on its group is owed already."""

    key: Known
    member: int
    held: Tier | None
    tier: Tier
    under_way: bool


@dataclass(slots=True)
class Findings:
    """What the comparison of one key brought to light."""

    key: Known
    counts: Counter[str] = field(default_factory=Counter)
    drifted: list[Drifted] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    leader: Leader | None = None

    def could_not_read(self, member: int | None, reason: str) -> None:
        """Take down what is not known."""
        self.unread.append(Unread(self.key, member, reason))
        self.counts["unread"] += 1


@dataclass(slots=True)
class _Pass:
    """One job, as far as it can be carried on now. `renewed`: the monotonic second at which its lease was."""

    job: Job
    keys: Keys
    org: Org
    pause_s: float
    renewed: float


class _PutDown(Exception):  # noqa: N818 - never leaves this module
    """The job cannot go on now, or is not ours any more."""


class Reconciler:
    """Works on reconciles, one at a time and one call at a time. `now` is epoch milliseconds, `monotonic` seconds."""

    def __init__(  # noqa: PLR0913 - put together in app, and only there
        self,
        store: Store,
        orgs: Mapping[int, Org],
        *,
        owner: str,
        lease_s: float,
        now: Callable[[], int],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        counted: Callable[[str, int], None] = lambda _name, _count: None,
        told: Callable[[Job, Findings], None] = lambda _job, _found: None,
        step: Step = lambda _: None,
    ) -> None:
        """`counted` hears how many members were found how; `told` hears what each key's comparison found."""
        self._store, self._orgs, self.owner, self._lease_s = store, orgs, owner, lease_s
        self._now, self._monotonic, self._sleep = now, monotonic, sleep
        self._counted, self._told, self._step = counted, told, step

    @property
    def until(self) -> int:
        """How long a job that is taken up or carried on now is held."""
        return self._now() + int(1000 * self._lease_s)

    async def serve(self, every_s: float) -> None:
        """Begin what is scheduled, and take up whatever reconcile nobody works on, until cancelled."""
        while True:
            try:
                await self._begin_scheduled()
                while job := await self._store.claim_job(WantJob(self.owner, self._now(), self.until, _KINDS)):
                    log.info("job.taken", job=job.id, kind=job.kind, by=job.by, done=job.done, matched=job.matched)
                    if ended := await self.work_off(job):
                        log.info("job.ended", job=ended.id, kind=ended.kind, status=ended.status, done=ended.done)
            except StoreUnavailable as error:
                log.warning("job.store_unavailable", error=str(error))
            except Exception:
                log.exception("job.failed")
            await self._sleep(every_s)

    async def _begin_scheduled(self) -> None:
        for number, org in self._orgs.items():
            if org.every_h:
                every_ms = int(_HOUR_MS * org.every_h)
                keys = Keys(org=number or None)
                await self._store.begin_pass(
                    keys, by=SCHEDULE, keys_max=org.keys_max, every_ms=every_ms, now=self._now()
                )

    async def work_off(self, job: Job) -> Job | None:
        """Carry a held job on to its end; return it as it ended, or None if it has to wait, or is somebody else's."""
        keys = Keys(**job.selection)
        org = self._orgs.get(keys.org or ANY_ORG) or self._orgs.get(ANY_ORG)
        if org is None:
            return await self._end(job, JobStatus.FAILED, f"org {keys.org} is not configured")
        try:
            return await self._steps(
                _Pass(job, keys, org, 60 / (job.rate or org.calls_per_minute_max), self._monotonic())
            )
        except _PutDown:
            return None
        except StoreUnavailable:
            raise  # it goes on when the store is back
        except Exception as error:
            await self._end(job, JobStatus.FAILED, f"a bug: {type(error).__name__}")
            raise

    async def _end(self, job: Job, status: JobStatus, detail: str | None = None) -> Job | None:
        return await self._store.end_job(job.id, status, now=self._now(), owner=self.owner, detail=detail)

    async def _steps(self, going: _Pass) -> Job | None:
        async for key in self._to_compare(going):
            found = await self._compare(going, key)
            repairs = self._repair(going, found)
            await self._advance(going, key.sync or going.job.position, Comparison(1, found.counts, repairs))
            self._tell(going.job, found)
            if repairs:  # the calls of the worker count too
                await self._wait(going, _CALLS_OF_A_REPAIR * len(found.drifted) * going.pause_s)
        return await self._end(going.job, JobStatus.DONE)

    async def _to_compare(self, going: _Pass) -> AsyncIterator[Known]:
        """The keys that are left, as they stand when their turn comes."""
        keys = going.keys
        if keys.group is not None:
            # Who goes on with it compares the primary that it was begun with, whoever leads the group by now.
            begun = going.job.done > 0
            leader = await (self._begun_with(going) if begun else self._leader(going, keys.group))
            if leader is None:
                return
            keys = replace(keys, group=None, primary=leader)
        while found := await self._store.keys(keys, 1, going.job.position, going.job.upto):
            yield found[0]
        program = keys.program or going.org.policy.default_program
        if keys.primary is not None and going.job.done == 0:  # nothing was ever heard of this primary
            yield Known(0, keys.org or ANY_ORG, program or 0, keys.primary, -1, None, under_way=False)

    async def _begun_with(self, going: _Pass) -> int | None:
        return await self._store.look(primary_of, going.job.position)

    async def _leader(self, going: _Pass, group: int) -> int | None:
        found: Group | NotPrimary | TryAgain | Refused
        found = await self._call(going, lambda: going.org.capillary.group(group, self._soon(going)))
        members = found.members if isinstance(found, Group) else ()
        leader = next((member.customer for member in members if member.primary and member.active), None)
        if leader is None:
            reason = found.reason if isinstance(found, TryAgain | Refused) else "group_without_primary"
            nobody = Known(0, going.keys.org or ANY_ORG, going.keys.program or 0, 0, -1, None, under_way=False)
            unread = Findings(nobody)
            unread.could_not_read(None, reason)
            await self._advance(going, going.job.position, Comparison(1, unread.counts))
            self._tell(going.job, unread)
        return leader

    async def _compare(self, going: _Pass, key: Known) -> Findings:
        """Read a group, its primary's tier, and where each of its secondaries stands."""
        found, org = Findings(key), going.org
        if not key.program:
            found.could_not_read(None, "program_unknown")
            return found
        group: Group | NotPrimary | TryAgain | Refused
        group = await self._call(going, lambda: org.capillary.members(key.customer, self._soon(going)))
        match group:
            case TryAgain() | Refused():
                found.could_not_read(None, group.reason)
                return found
            case Group() if group.active and group.led_by(key.customer):
                pass
            case _:
                found.counts["without_group"] += 1
                return found
        if len(group.members) > org.members_max:
            found.could_not_read(None, "group_too_large")
            return found
        held: Held | TryAgain | Refused
        held = await self._call(going, lambda: org.capillary.tier(key.customer, key.program, self._soon(going)))
        if not isinstance(held, Held) or held.tier is None:
            found.could_not_read(None, "primary_without_tier" if isinstance(held, Held) else held.reason)
            return found
        lowers = drift.may_lower(held.tier, key.tier_number, org.policy)
        found.leader = Leader(key.org, key.program, key.customer, group.id, held.tier, held.expiry, lowers)
        for member in group.secondaries():
            await self._look_at(going, found, found.leader, member)
        found.counts["drifted"] = len(found.drifted)
        found.counts["under_way"] = sum(one.under_way for one in found.drifted)
        return found

    async def _look_at(self, going: _Pass, found: Findings, leader: Leader, member: Member) -> None:
        key, org = found.key, going.org
        rival = None
        if org.policy.several_groups is not SeveralGroups.DEFAULT_GROUP:
            rival = (await self._store.led_elsewhere(key, [member.customer])).get(member.customer)
        if not drift.is_led_here(member, leader.tier, rival, org.policy):
            found.counts[Standing.SPARED] += 1
            return
        held: Held | TryAgain | Refused
        held = await self._call(going, lambda: org.capillary.tier(member.customer, key.program, self._soon(going)))
        if not isinstance(held, Held):
            found.could_not_read(member.customer, held.reason)
            return
        standing = drift.standing(held.tier, leader)
        if standing is Standing.DRIFTED:
            found.drifted.append(Drifted(key, member.customer, held.tier, leader.tier, key.under_way))
        else:
            found.counts[standing] += 1

    def _repair(self, going: _Pass, found: Findings) -> list[Arrival]:
        """The event that brings back whom nobody else is about to."""
        key, members = found.key, [one.member for one in found.drifted if not one.under_way]
        if going.keys.dry_run or found.leader is None or not members:
            return []
        # Jobs are counted anew in a new store, into which the events of an old one may have been imported.
        event_id = f"reconcile:{going.job.at}:{going.job.id}:{key.program}:{key.customer}"
        body = drift.repair(found.leader, members, event_id=event_id, changed_at=key.changed_at)
        return [intake.admit(body, self._now(), {number: org.policy for number, org in self._orgs.items()})]

    async def _call(self, going: _Pass, call: Callable[[], Awaitable[T | NotTried]]) -> T:
        """Make a call at the job's rate. While fresh work fills the org's limits it waits; a pause ends it."""
        while True:
            began = self._monotonic()
            self._step("before reading")
            answer = await call()
            self._step("after reading")
            await self._wait(going, going.pause_s - (self._monotonic() - began))
            held_back = going.org.capillary.paused or going.org.capillary.away_s
            if held_back and isinstance(answer, NotTried | TryAgain):
                await self._advance(going, going.job.position, Comparison(0, {}), _PUT_DOWN_S)
                raise _PutDown
            if not isinstance(answer, NotTried):
                return answer

    def _soon(self, going: _Pass) -> float:
        return self._monotonic() + going.org.attempt_s_max

    async def _wait(self, going: _Pass, seconds: float) -> None:
        """Let time pass, and hold on to the job meanwhile."""
        while True:
            slept = max(0.0, min(seconds, self._lease_s / 4))
            await self._sleep(slept)
            seconds -= slept
            if self._monotonic() - going.renewed > self._lease_s / 4:
                await self._advance(going, going.job.position, Comparison(0, {}))
            if seconds <= 0:
                return

    async def _advance(self, going: _Pass, position: int, step: Comparison, held_s: float | None = None) -> None:
        until = self.until if held_s is None else self._now() + int(1000 * held_s)
        job = await self._store.advance_job(Advance(going.job.id, self.owner, position, step, self._now(), until))
        if job is None:
            raise _PutDown
        going.job, going.renewed = job, self._monotonic()

    def _tell(self, job: Job, found: Findings) -> None:
        self._told(job, found)
        for name, count in found.counts.items():
            self._counted(name, count)
        key, members = found.key, len(found.drifted)
        if members:
            log.info(
                "reconcile.drift_found",
                job=job.id,
                org=key.org,
                program=key.program,
                customer=key.customer,
                members=members,
            )
        for one in found.unread:
            log.warning(
                "reconcile.unread",
                job=job.id,
                org=key.org,
                program=key.program,
                customer=key.customer,
                member=one.member,
                reason=one.reason,
            )
