"""Everything one running sandbox holds, and turning facts into queued events."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Protocol

import httpx
from pydantic_core import to_json

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Change, Flags, Group
from tiersync.sandbox.adjusting import Rules
from tiersync.sandbox.bills import Bills
from tiersync.sandbox.calls import CallLog
from tiersync.sandbox.confirming import OneTimeCodes
from tiersync.sandbox.credentials import Credentials
from tiersync.sandbox.emitter import Emitter, Event
from tiersync.sandbox.events import EVENT_NAMES, Stamp, body, customer_of, is_echo, name_of, ref_id
from tiersync.sandbox.faults import Faults
from tiersync.sandbox.fleets import Fleets
from tiersync.sandbox.hooks import INSTORE, Hook, Hooks
from tiersync.sandbox.patch import Unpatchable
from tiersync.sandbox.settings import SandboxSettings
from tiersync.sandbox.state import Kept, StateFile
from tiersync.sandbox.switches import OrganisationSwitches, Switches
from tiersync.sandbox.tiers import PointsContributed, TierChanged
from tiersync.sandbox.wallets import Wallets
from tiersync.sandbox.world import Fact, Habits, World


@dataclass(frozen=True, slots=True)
class Seams:
    """What is not ours to have: the clock, sleeping, new unique ids, the HTTP client of the emitter."""

    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    client: Callable[[], httpx.AsyncClient]


Work = Callable[[datetime], object]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Something to be done at a set time."""

    at: datetime
    work: Work


class Companion(Protocol):
    """What lives beside the organisation by the same clock: another face with a core of its own."""

    def advance(self, now: datetime) -> object:
        """Let everything happen that falls due by then."""

    def reset(self, *, example: bool) -> None:
        """Start again, with its example or without."""


class Desk:
    """One running sandbox: what the handlers work on."""

    def __init__(self, settings: SandboxSettings, seams: Seams, furnish: Callable[[World, datetime], None]) -> None:
        self.settings = settings
        self.wall = seams.clock
        self._ahead = timedelta()
        self._replayed: datetime | None = None
        self._file = None if settings.state is None else StateFile(settings.state, seams.clock())
        self.sleep = seams.sleep
        self.new_id = seams.new_id
        self._furnish = furnish
        self.faults = Faults()
        self.calls = CallLog(settings.call_log_max)
        self.credentials = Credentials(settings)
        self.hooks = Hooks()
        self.emitter = Emitter(settings, self.hooks, seams.client, seams.clock, seams.sleep)
        self.companions: tuple[Companion, ...] = ()
        self._log_id = 0
        self._plans: list[Plan] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._replayed = None if self._file is None else self._file.founded
        self._start(example=settings.example)
        self._replayed = None

    def clock(self) -> datetime:
        """Tell the sandbox's time: the world's, moved ahead as asked; during a replay that of the call replayed."""
        return self._replayed or self.wall() + self._ahead

    def _start(self, *, example: bool) -> None:
        self.world = World(Flags(), Habits())
        self.bills = Bills(self.world)
        self.wallets = Wallets(self.world, self.bills)
        self.fleets = Fleets(self.world)
        self.codes = OneTimeCodes()
        if example:
            self._furnish(self.world, self.clock())
        if self.settings.webhook_url is not None:
            self.hooks.add(first_hook(self.settings, self.new_id(), self.clock()))
        self.apply_switches()

    def reset(self, *, example: bool | None = None) -> None:
        """Start again: the example (unless told otherwise), the first webhook, no faults, empty logs.

        Tokens stay valid.
        """
        self._plans.clear()
        self._wait_anew()
        self._ahead = timedelta()
        self.emitter.clear()
        self.hooks.clear()
        self.faults.reset()
        self.calls.clear()
        example = self.settings.example if example is None else example
        self._start(example=example)
        for companion in self.companions:
            companion.reset(example=example)

    def change(self, patch: object) -> Unpatchable | None:
        """Change switches; returns why not, if refused."""
        refused = self.faults.change(patch)
        self.apply_switches()
        return refused

    def apply_switches(self) -> None:
        """Let the switches that belong to the organisation reach it."""
        organisation = self.faults.switches.organisation
        self.world.register.flags = flags(organisation)
        self.world.habits = habits(organisation)
        self.rules = rules(self.faults.switches)

    # Time.

    def later(self, at: datetime, work: Work) -> None:
        """Do something at a set time; a reset or the end of the sandbox cancels it."""
        self._plans.append(Plan(at, work))
        self._wait_anew()

    @property
    def planned(self) -> list[datetime]:
        """What is still to be done, by its times."""
        return sorted(plan.at for plan in self._plans)

    def move(self, to: datetime) -> list[str]:
        """Move the clock ahead: what was set for a time until then, and what the core has due, is done in order.

        Returns the ids of the events. Refuses to go back.
        """
        now = self.clock()
        if to < now:
            raise LoyaltyError(f"the clock stands at {now.isoformat()} and goes forward only")
        ids: list[str] = []
        for plan in sorted(self._plans, key=lambda each: each.at):
            if plan.at <= to:
                ids += self.emit(self.world.run(max(plan.at, now)), self.new_id())
                self._plans.remove(plan)
                plan.work(max(plan.at, now))
        ids += self.emit(self.world.run(to), self.new_id())
        for companion in self.companions:
            companion.advance(to)
        self._ahead += to - now
        self._wait_anew()
        return ids

    def _wait_anew(self) -> None:
        """Let one task wait for each plan, by the clock as it is now; a replay has no time to wait in."""
        self._cancel()
        if self._replayed is None:
            for plan in self._plans:
                task = asyncio.get_running_loop().create_task(self._sleep_then(plan))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _sleep_then(self, plan: Plan) -> None:
        await self.sleep(max(0.0, (plan.at - self.clock()).total_seconds()))
        self._plans.remove(plan)
        plan.work(self.clock())

    # The state file.

    def keep(self, call: Callable[[], Kept]) -> None:
        """Append a call to the state file, if there is one."""
        if self._file is not None and self._replayed is None:
            self._file.append(call())

    def replay(self, again: Callable[[Kept], object]) -> None:
        """Put the calls of the state file through `again`; nothing is delivered meanwhile."""
        if self._file is None:
            return
        try:
            for call in self._file.calls:
                self._replayed = call.now
                for plan in sorted(self._plans, key=lambda each: each.at):
                    if plan.at <= call.now:
                        self._plans.remove(plan)
                        plan.work(plan.at)
                again(call)
        except Exception:
            self._file.close()
            raise
        self._file.calls.clear()
        self._replayed = None

    def open(self) -> None:
        """Begin to wait for what is planned; there must be a running loop."""
        self._wait_anew()

    async def aclose(self) -> None:
        """Stop everything that still runs."""
        self._cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.emitter.aclose()
        if self._file is not None:
            self._file.close()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def emit(self, facts: Iterable[Fact], request_id: str) -> list[str]:
        """Queue the events of what happened; returns their ids. No webhook wanting an event, no event."""
        look = self.faults.switches.events
        sent: list[str] = []
        for fact in facts:
            name = name_of(fact)
            wanted = {hook.instore for hook in self.hooks if name is not None and hook.wants(name)}
            if name is None or not wanted:
                continue
            if is_echo(fact) and not look.echo:
                continue
            customer = customer_of(fact)
            self._log_id += 1
            stamp = Stamp(self.new_id(), self._log_id, self.settings.org_id, request_id, fact.at)
            people, group = self.world.people, self._group_of(fact)
            bodies = {each: to_json(body(fact, stamp, look, people, group, instore=each)) for each in wanted}
            event = Event(
                id=stamp.event_id,
                name=name,
                ref_id=ref_id(fact, stamp.org_id),
                request_id=request_id,
                customer=customer,
                created_at=fact.at,
                bodies={each: gzip.compress(plain) for each, plain in bodies.items()} if look.gzip else bodies,
                encoding="gzip" if look.gzip else None,
            )
            if self._replayed is None:
                self.emitter.emit(event, self.faults.travel(customer), look.reorder)
            sent.append(event.id)
        return sent

    def _group_of(self, fact: Fact) -> Group | None:
        """Return the group whose name an event carries: the one that got points, or the one the customer leads."""
        match fact:
            case PointsContributed():
                return self.world.register.find(group=fact.group)
            case TierChanged():
                return self.world.register.led_by(fact.customer)
            case Change():
                return None


def first_hook(settings: SandboxSettings, consumer_group: str, now: datetime) -> Hook:
    """Build the webhook given at start; it gets every event."""
    secret = settings.webhook_secret
    return Hook(
        id=0,
        name="first",
        url=settings.webhook_url or "",
        consumer_group=consumer_group,
        created_on=now,
        names=frozenset(EVENT_NAMES),
        connections=settings.webhook_connections,
        headers=() if secret is None else ((settings.webhook_header, secret),),
        identifiers=(INSTORE,),
    )


def flags(switches: OrganisationSwitches) -> Flags:
    """Return the flags of the group core as the switches have them."""
    fields = switches.extended_fields
    return Flags(
        groups_enabled=switches.groups_enabled,
        group_size=switches.group_size,
        group_size_counts_primary=switches.group_size_rule == "1+(n-1)",
        group_size_ceiling=switches.group_size_ceiling,
        keep_without_primary=switches.keep_without_primary,
        groups_per_member_max=switches.groups_per_member_max,
        primary_may_join_elsewhere=switches.primary_may_join_elsewhere,
        extended_fields=None if fields is None else frozenset(fields),
    )


def habits(switches: OrganisationSwitches) -> Habits:
    """Return what the core does by itself as the switches have it."""
    return Habits(
        legacy_eager_sync=switches.legacy_eager_sync,
        reset_on_leave=switches.reset_on_leave,
        fleet_loyalty=switches.fleet_loyalty,
        fleet_entity=switches.fleet_entity,
        return_after_transition=switches.return_after_transition,
        group_redemption=switches.group_redemption,
        cross_member_redemption=switches.cross_member_redemption,
        batch_at=time.fromisoformat(switches.batch_at),
    )


def rules(switches: Switches) -> Rules:
    """Return how adjustments are checked as the switches have it."""
    answers = switches.answers
    return Rules(answers.validity_upto, answers.tier_name_case, answers.downgrade_not_lower)
