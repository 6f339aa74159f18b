"""Every view of the page, by a name."""

from tests.browser.scene import Scene
from tests.journey.kit import ORG, Town


async def views(here: Town, scene: Scene) -> dict[str, str]:
    """Where each view is, for the events and groups of a scene."""
    [dead] = [event for event in await here.events() if event["event_id"] == scene.dead_event]
    done = (await here.events(customer=scene.well.primary))[0]["id"]
    return {
        "overview": "/console",
        "flow": "/console/flow",
        "events": "/console/events",
        "events-found": f"/console/events?customer={scene.barred.secondaries[0]}",
        "events-wrong": "/console/events?org=x",
        "event-dead": f"/console/events/{dead['id']}",
        "event-done": f"/console/events/{done}",
        "replay": "/console/replay?status=dead",
        "purge": "/console/purge?status=done",
        "reconcile-form": "/console/reconcile/choose",
        "reconcile-wrong": "/console/reconcile?org=x&since=2026-01-31T08:00",
        "reconcile": "/console/reconcile?since=2020-01-31T08:00",
        "reconcile-one": f"/console/reconcile?org={ORG}&primary={scene.drifted.primary}&dry_run=1",
        "reconcile-unknown": "/console/reconcile?group=1",
        "jobs": "/console/jobs",
        "job-dry-run": f"/console/jobs/{scene.dry_run}",
        "job-repair": f"/console/jobs/{scene.repair}",
        "pause": f"/console/orgs/{ORG}/pause",
        "group": "/console/groups/4",
        "problem": "/console/events/999999",
    }
