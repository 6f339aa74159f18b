"""Reconciling from the page: choose the groups, see what comparing them takes and does, and have it done by a job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiersync.console import asking
from tiersync.console.asking import GROUPS, Groups, link
from tiersync.console.door import Door, seen_other
from tiersync.console.rendering import Renderer
from tiersync.console.session import Session
from tiersync.console.words import Calls, named, why_held
from tiersync.intake import ANY_ORG
from tiersync.store import Keys, Store, looking
from tiersync.store.looking import Ahead
from tiersync.webhook import INT64_MAX

_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Share:
    """One org's share of a reconcile: what it would read, by about so many calls, at most so many a minute."""

    whose: str
    ahead: Ahead
    calls: int
    per_minute: int

    @property
    def takes_ms(self) -> int:
        """How long that takes at the least."""
        return self.calls * _MINUTE_MS // self.per_minute


class Reconciling:
    """The form and what it leads to. `now` is epoch milliseconds; `calls` says how each org's calls stand."""

    def __init__(
        self,
        *,
        store: Store,
        door: Door,
        renderer: Renderer,
        calls: Callable[[], Sequence[Calls]],
        now: Callable[[], int],
    ) -> None:
        """Every view and form is behind the door."""
        self._store, self._door, self._render, self._calls, self._now = store, door, renderer, calls, now

    def routes(self) -> list[Route]:
        """The form, a view that says what will happen, and a form that does it."""
        view, form = self._door.view, self._door.form
        return [
            Route("/console/reconcile/choose", view(self._choose)),
            Route("/console/reconcile", view(self._ask)),
            Route("/console/reconcile", form(self._reconcile), methods=["POST"]),
        ]

    async def _choose(self, request: Request, session: Session) -> Response:
        return self._form(request, session, asking.given(request.query_params, GROUPS), "")

    async def _ask(self, request: Request, session: Session) -> Response:
        asked = asking.given(request.query_params, GROUPS)
        wanted, meant, wrong = self._wanted(asked)
        if wanted is None:
            return self._form(request, session, asked, wrong)
        shares = [await self._share(keys, wanted) for keys in meant]
        known = await group_of(self._store, wanted.keys)
        back = "/console/jobs" if known is None else f"/console/groups/{known}"
        return self._render.page(
            "reconcile.html", request, session, asked=asked, wanted=wanted, shares=shares, back=back,
            shown={name: value for name, value in asked.items() if name != "dry_run"},
            named_one=wanted.group is not None or wanted.primary is not None, known=known is not None,
            held=[*why_held(await self._store.orgs(), self._now(), wanted.org)],
            change=link("/console/reconcile/choose", asked), other=_other_way(asked, dry_run=not wanted.dry_run),
        )  # fmt: skip

    async def _reconcile(self, request: Request, session: Session, form: FormData) -> Response:
        asked = asking.given(form, GROUPS)
        wanted, meant, wrong = self._wanted(asked)
        if wanted is None:
            return self._form(request, session, asked, wrong)
        jobs = [
            await self._store.begin_reconcile(keys, by=session.by, now=self._now(), rate=wanted.rate) for keys in meant
        ]
        return seen_other(f"/console/jobs/{jobs[0].id}" if len(jobs) == 1 else "/console/jobs")

    def _form(self, request: Request, session: Session, asked: Mapping[str, str], wrong: str) -> Response:
        calls = self._calls()
        return self._render.page(
            "reconcile_form.html", request, session, status=422 if wrong else 200,
            asked={name: asked.get(name, "") for name in GROUPS}, wrong=wrong, wrong_field=wrong.partition(":")[0],
            orgs=[org.org for org in calls if org.org], paces=sorted({org.reconcile_per_minute_max for org in calls}),
        )  # fmt: skip

    def _wanted(self, asked: Mapping[str, str]) -> tuple[Groups | None, list[Keys], str]:
        """What was asked for and the keys of each org that is meant, or what is wrong with it."""
        wanted, wrong = asking.read(asked, Groups)
        if wanted is None:
            return None, [], wrong
        try:
            return wanted, wanted.keys.of_each([org.org for org in self._calls()]), ""
        except ValueError as error:
            return None, [], f"org: {error}"

    async def _share(self, keys: Keys, wanted: Groups) -> Share:
        ahead = await self._store.look(looking.ahead, keys)
        by_org = {org.org: org for org in self._calls()}
        pace = (by_org.get(keys.org or ANY_ORG) or by_org[ANY_ORG]).reconcile_per_minute_max
        groups = max(ahead.groups, 1 if keys.group is not None or keys.primary is not None else 0)
        calls = (1 if keys.group is not None else 0) + 2 * groups + ahead.secondaries
        return Share(named(keys.org or ANY_ORG), ahead, calls, wanted.rate or pace)


async def group_of(store: Store, keys: Keys) -> int | None:
    """The row of the one group that these keys name, if they name one that is known."""
    if keys.group is not None:
        led = await store.look(looking.keys, None, keys.group, keys.org, 1)
        return led[0]["id"] if led else None
    if keys.primary is None:
        return None
    found = await store.keys(keys, 1, 0, INT64_MAX)
    return found[0].sync if found else None


def _other_way(asked: Mapping[str, str], *, dry_run: bool) -> str:
    """The same, but only compared instead of repaired, or repaired instead of only compared."""
    return link("/console/reconcile", {**asked, "dry_run": "1" if dry_run else None})
