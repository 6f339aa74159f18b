"""Pure. The programmes of one organisation: as the face shows them and as the core knows them."""

from collections.abc import Callable, Iterator
from datetime import datetime

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.capillary import points, promotional, slabs
from tiersync.loyalty.schemes import Scheme
from tiersync.sandbox.adjusting import AdjustCode
from tiersync.sandbox.core import Core
from tiersync.sandbox.ids import number
from tiersync.sandbox.tiers import ProgramId, Programme


class Catalogue:
    """All programmes, in the order in which they came."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._programmes: dict[ProgramId, Programme] = {}
        self._schemes: dict[ProgramId, Scheme] = {}
        self._by_ladder: dict[str, ProgramId] = {}
        self._by_wallet: dict[AccountName, tuple[ProgramId, bool]] = {}

    def __iter__(self) -> Iterator[Programme]:
        return iter(tuple(self._programmes.values()))

    def add(self, programme: Programme, scheme: Callable[[str], Scheme], now: datetime) -> None:
        """Add a programme, or replace the one with its id. `scheme` builds what the core knows of it, given its name.

        Refuses a bad condition, and nothing has changed then.
        """
        before = self._schemes.get(programme.id)
        built = scheme(str(programme.id) if before is None else f"{before.program}+")
        self._core.define(built, now, None if before is None else before.program)
        self._programmes[programme.id] = programme
        self._schemes[programme.id] = built
        self._by_ladder = {slabs(each.program): program for program, each in self._schemes.items()}
        self._by_wallet = {
            wallet: (program, kind is promotional)
            for program, each in self._schemes.items()
            for kind in (points, promotional)
            for wallet in (kind(each.program),)
        }

    def scheme(self, programme: Programme) -> Scheme:
        """Return what the core knows of a programme."""
        return self._schemes[programme.id]

    def wallet(self, account: AccountName) -> tuple[Programme, bool] | None:
        """Return whose wallet an account of the core is, and whether it is the one of promotional points."""
        found = self._by_wallet.get(account)
        return None if found is None else (self._programmes[found[0]], found[1])

    def on_ladder(self, ladder: str) -> Programme | None:
        """Return whose tiers a ladder of the core is; None for that of a programme that was replaced."""
        found = self._by_ladder.get(ladder)
        return None if found is None else self._programmes[found]

    def find(self, given: object) -> Programme:
        """Return a programme by the id in a request; refuses with 1101."""
        read = number(given)
        found = None if read is None else self._programmes.get(ProgramId(read))
        if found is None:
            raise LoyaltyError(f"Invalid programId {given!s:.30}", AdjustCode.PROGRAM_INVALID)
        return found

    def find_or_default(self, given: object) -> Programme:
        """Return the programme named, or the default one if none is. Refuses with 1101."""
        return self.default() if given in (None, "") else self.find(given)

    def default(self) -> Programme:
        """Return the programme marked as default, else the first; refuses with 1101 when there is none."""
        programmes = tuple(self)
        if not programmes:
            raise LoyaltyError("The organisation has no programme", AdjustCode.PROGRAM_INVALID)
        return next((each for each in programmes if each.default), programmes[0])
