"""The operator's side of HTTP: health, metrics, the API behind the operator token, and the page behind a sign-in."""

from collections.abc import Callable, Sequence

from starlette.routing import Route

from tiersync.console.actions import Actions
from tiersync.console.door import Door
from tiersync.console.jobs import Jobs
from tiersync.console.page import OperatorPage
from tiersync.console.reconciling import Reconciling
from tiersync.console.rendering import Renderer
from tiersync.console.routes import Console
from tiersync.console.session import Brake, Sessions
from tiersync.console.words import Calls
from tiersync.store import Horizon, Store

__all__ = ["Brake", "Calls", "Console", "page"]


def page(  # noqa: PLR0913 - put together in app, and only there
    *,
    store: Store,
    token: str | None,
    session_s_max: int,
    brake: Brake,
    calls: Callable[[], Sequence[Calls]],
    horizon: Callable[[], Horizon],
    now: Callable[[], int],
) -> list[Route]:
    """Put the page together: its routes. `calls` says how each org's calls stand, `horizon` what a purge spares."""
    renderer = Renderer()
    door = Door(Sessions(token, session_s_max), brake, renderer)
    views = OperatorPage(store=store, door=door, renderer=renderer, calls=calls, now=now)
    actions = Actions(store=store, door=door, renderer=renderer, horizon=horizon, now=now)
    jobs = Jobs(store=store, door=door, renderer=renderer, now=now)
    reconciling = Reconciling(store=store, door=door, renderer=renderer, calls=calls, now=now)
    return [*views.routes(), *actions.routes(), *jobs.routes(), *reconciling.routes()]
