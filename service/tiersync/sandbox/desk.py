"""Everything one running sandbox holds, and turning facts into queued events."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import httpx
from pydantic_core import to_json

from tiersync.loyalty.groups import Flags
from tiersync.sandbox.adjusting import Rules
from tiersync.sandbox.calls import CallLog
from tiersync.sandbox.credentials import Credentials
from tiersync.sandbox.emitter import Emitter, Event
from tiersync.sandbox.events import EVENT_NAMES, Stamp, body, customer_of, is_echo, name_of, ref_id
from tiersync.sandbox.faults import Faults
from tiersync.sandbox.hooks import Hook, Hooks
from tiersync.sandbox.patch import Unpatchable
from tiersync.sandbox.settings import SandboxSettings
from tiersync.sandbox.switches import OrganisationSwitches, Switches
from tiersync.sandbox.world import Fact, Habits, World


@dataclass(frozen=True, slots=True)
class Seams:
    """What is not ours to have: the clock, sleeping, new unique ids, the HTTP client of the emitter."""

    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    client: Callable[[], httpx.AsyncClient]


class Desk:
    """One running sandbox: what the handlers work on."""

    def __init__(self, settings: SandboxSettings, seams: Seams, furnish: Callable[[World, datetime], None]) -> None:
        self.settings = settings
        self.clock = seams.clock
        self.sleep = seams.sleep
        self.new_id = seams.new_id
        self._furnish = furnish
        self.faults = Faults()
        self.calls = CallLog(settings.call_log_max)
        self.credentials = Credentials(settings)
        self.hooks = Hooks()
        self.emitter = Emitter(settings, self.hooks, seams.client, seams.clock, seams.sleep)
        self._log_id = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._start(example=settings.example)

    def _start(self, *, example: bool) -> None:
        self.world = World(Flags(), Habits())
        if example:
            self._furnish(self.world, self.clock())
        if self.settings.webhook_url is not None:
            self.hooks.add(first_hook(self.settings, self.new_id(), self.clock()))
        self.apply_switches()

    def reset(self, *, example: bool | None = None) -> None:
        """Start again: the example (unless told otherwise), the first webhook, no faults, empty logs.

        Tokens stay valid.
        """
        self._cancel()
        self.emitter.clear()
        self.hooks.clear()
        self.faults.reset()
        self.calls.clear()
        self._start(example=self.settings.example if example is None else example)

    def change(self, patch: object) -> Unpatchable | None:
        """Change switches; returns why not, if refused."""
        refused = self.faults.change(patch)
        self.apply_switches()
        return refused

    def apply_switches(self) -> None:
        """Let the switches that belong to the organisation reach it."""
        organisation = self.faults.switches.organisation
        self.world.register.flags = flags(organisation)
        self.world.habits = Habits(organisation.legacy_eager_sync, organisation.reset_on_leave)
        self.rules = rules(self.faults.switches)

    def later(self, at: datetime, work: Callable[[], object]) -> None:
        """Do something at a set time; a reset or the end of the sandbox cancels it."""
        task = asyncio.get_running_loop().create_task(self._sleep_then(at, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sleep_then(self, at: datetime, work: Callable[[], object]) -> None:
        await self.sleep(max(0.0, (at - self.clock()).total_seconds()))
        work()

    async def aclose(self) -> None:
        """Stop everything that still runs."""
        self._cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.emitter.aclose()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def emit(self, facts: Iterable[Fact], request_id: str) -> list[str]:
        """Queue the events of what happened; returns their ids. No webhook wanting an event, no event."""
        look = self.faults.switches.events
        sent: list[str] = []
        for fact in facts:
            name = name_of(fact)
            if name is None or not any(hook.wants(name) for hook in self.hooks):
                continue
            if is_echo(fact) and not look.echo:
                continue
            customer = customer_of(fact)
            self._log_id += 1
            stamp = Stamp(self.new_id(), self._log_id, self.settings.org_id, request_id, fact.at)
            leads = None if customer is None else self.world.register.led_by(customer)
            content = to_json(body(fact, stamp, look, self.world.people, leads))
            event = Event(
                id=stamp.event_id,
                name=name,
                ref_id=ref_id(fact, stamp.org_id),
                request_id=request_id,
                customer=customer,
                created_at=fact.at,
                body=gzip.compress(content) if look.gzip else content,
                encoding="gzip" if look.gzip else None,
            )
            self.emitter.emit(event, self.faults.travel(customer), look.reorder)
            sent.append(event.id)
        return sent


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


def rules(switches: Switches) -> Rules:
    """Return how adjustments are checked as the switches have it."""
    answers = switches.answers
    return Rules(answers.validity_upto, answers.tier_name_case, answers.downgrade_not_lower)
