"""Pure. Who stands where: the core's ladders, and in front of them the rows of those the core has not met yet.

A standing that was planted by seeding is a row here until something happens to its customer, who is then met by the
core with that row. So 30,000 seeded members cost 30,000 rows and not 60,000 events.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from tiersync.loyalty.events import HolderId
from tiersync.loyalty.groups import CustomerId, Group, People
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.catalogue import Catalogue
from tiersync.sandbox.core import Core, group_holder, holder_of
from tiersync.sandbox.tiers import FOREVER_DAYS, ProgramId, Programme, Standing, Tier, expiry_after


class Places:
    """The standings of one organisation's customers and groups."""

    def __init__(self, core: Core, people: People, programmes: Catalogue) -> None:
        self._core = core
        self._people = people
        self._programmes = programmes
        self._decided: dict[ProgramId, dict[CustomerId, None]] = {}
        self._planted: dict[ProgramId, dict[CustomerId, tuple[Standing, datetime]]] = {}

    def begin(self, programme: Programme) -> None:
        """Let everybody start (again) in a programme."""
        self._planted[programme.id], self._decided[programme.id] = {}, {}

    # Reading.

    def standing(self, programme: Programme, customer: CustomerId) -> Standing:
        """Return where somebody stands: in the lowest tier if nothing else was decided. Refuses with 8015."""
        person = self._people.require(customer)
        holder = holder_of(customer)
        if self._core.knows(holder):
            return self._held(programme, holder)
        planted = self._planted[programme.id].get(customer)
        return planted[0] if planted else Standing(programme.lowest, expiry_after(person.registered_on, FOREVER_DAYS))

    def group_standing(self, programme: Programme, group: Group) -> Standing:
        """Return the group's own tier."""
        holder = group_holder(group.id)
        if self._core.knows(holder):
            return self._held(programme, holder)
        return Standing(programme.lowest, expiry_after(group.created_on, FOREVER_DAYS))

    def _held(self, programme: Programme, holder: str) -> Standing:
        rank, since, expires = self._core.rank(self._programmes.scheme(programme).program, HolderId(holder))
        return Standing(programme.tiers[rank], expires or expiry_after(since, FOREVER_DAYS))

    def standings(self) -> Iterator[tuple[Programme, CustomerId, Standing]]:
        """Yield the standings of everybody about whom anything was ever decided."""
        for programme in self._programmes:
            for customer in {**self._planted[programme.id], **self._decided[programme.id]}:
                yield programme, customer, self.standing(programme, customer)

    # Meeting and placing.

    def meet(self, customer: CustomerId) -> HolderId:
        """Make a customer known to the core, with the tiers planted for them. Refuses with 8015."""
        person, holder = self._people.require(customer), holder_of(customer)
        if self._core.meet(holder, person.registered_on):
            for programme in self._programmes:
                row = self._planted[programme.id].pop(customer, None)
                if row is not None and _is_start(*row):
                    self.note(programme, customer)
                elif row is not None:
                    self.put(customer, programme, row[0].tier, row[0].expires, row[1])
        return holder

    def meet_group(self, group: Group) -> HolderId:
        """Make a group known to the core."""
        holder = group_holder(group.id)
        self._core.meet(holder, group.created_on)
        return holder

    def meet_planted(self) -> None:
        """Meet everybody who was planted above the start: their tiers may be due for a review."""
        for planted in list(self._planted.values()):
            for customer in [customer for customer, row in planted.items() if not _is_start(*row)]:
                self.meet(customer)

    def plant(self, programme: Programme, customers: Iterable[CustomerId], standing: Standing, now: datetime) -> None:
        """Put customers somewhere without anything having happened (seeding)."""
        planted = self._planted[programme.id]
        for customer in customers:
            if self._core.knows(holder_of(customer)):
                self.put(customer, programme, standing.tier, standing.expires, now)
            else:
                planted[customer] = (standing, now)

    def put(
        self, customer: CustomerId, programme: Programme, tier: Tier, expires: datetime | None, now: datetime
    ) -> Receipt:
        """Put a customer in a tier by hand; without `expires` the programme's strategy decides until when."""
        holder = self.meet(customer)
        self.note(programme, customer)
        return self._core.place(self._programmes.scheme(programme).program, holder, tier.name, now, expires)

    def note(self, programme: Programme, customer: CustomerId) -> None:
        """Note that something was decided about a customer."""
        self._decided[programme.id][customer] = None


def _is_start(standing: Standing, planted: datetime) -> bool:
    """Say whether a planted standing is where everybody starts, so that the core need not be told."""
    return standing.tier.number == 1 and standing.expires == expiry_after(planted, FOREVER_DAYS)
