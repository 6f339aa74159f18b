"""How the verbs print for a person. Piped, narrow or without colour, the same words remain."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tiersync.cli.checks import Finding
    from tiersync.store import Job, OrgState

_PIPED_WIDTH: Final = 1000
_WIDE: Final = 160
_ID_CHARS_MIN: Final = 12
_COLOURS: Final = {
    "done": "green",
    "repaired": "green",
    "left": "bold red",
    "pending": "cyan",
    "due": "cyan",
    "running": "cyan",
    "dead": "bold red",
    "failed": "bold red",
    "quarantined": "bold red",
    "superseded": "dim",
    "ignored": "dim",
    "skipped": "dim",
}


def console() -> Console:
    """stdout; a pipe gets wide lines, so that nothing is cut for want of a screen."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, soft_wrap=False)


def progress_console() -> Console:
    """stderr, so that stdout holds results only."""
    return Console(stderr=True)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it."""
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, list):
            shown[name] = [plain(entry) for entry in value]
        else:
            shown[name] = value.isoformat() if hasattr(value, "isoformat") else value
    return shown


def _when(instant: int | None) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if instant is not None else ""


def _status(value: str) -> Text:
    return Text(value, style=_COLOURS.get(value, ""))


def _tier(row: Mapping[str, Any]) -> str:
    number = row["tier_number"]
    return " ".join(part for part in (str(number) if number is not None else "", row["tier_name"] or "") if part)


def events(rows: Sequence[Mapping[str, Any]], matched: int) -> None:
    """A table of events."""
    out = console()
    narrow = out.is_terminal and out.width < _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("received (UTC)", "event", "org", "program", "customer", "action", "tier", "status", "reason"):
        if not (narrow and name in {"org", "program"}):
            table.add_column(name, overflow="fold", no_wrap=narrow and name in {"event", "customer", "status"})
    for row in rows:
        when, event_id = _when(row["received_at"]), row["event_id"]
        if narrow:
            when, event_id = when.partition("-")[2], _short(event_id, out.width)
        table.add_row(
            when,
            Text(event_id),
            *([] if narrow else [str(row["org"]), str(row["program"] or "")]),
            str(row["customer"] or ""),
            row["action"] or (row["kind"] if row["kind"] == "reconcile" else row["name"]),
            Text(_tier(row)),
            _status(row["status"]),
            row["reason"] or "",
        )
    if rows:
        out.print(table)
    out.print(f"{len(rows)} of {matched} events" if matched else "No events.", style="dim")


def _short(event_id: str, width: int) -> str:
    """An id that leaves room for the rest on a narrow screen; --json and a pipe have it whole."""
    room = max(_ID_CHARS_MIN, width // 5)
    return event_id if len(event_id) <= room else f"{event_id[: room - 1]}…"


def event(row: Mapping[str, Any]) -> None:
    """One event and its adjustments."""
    out = console()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("event", Text(row["event_id"]))
    facts.add_row("status", _status(row["status"]))
    for name in ("reason", "detail", "name", "org", "program", "customer", "member", "duplicates"):
        if row[name]:
            facts.add_row(name, Text(str(row[name])))
    facts.add_row("tier", Text(_tier(row)))
    facts.add_row("received (UTC)", _when(row["received_at"]))
    facts.add_row("finished (UTC)", _when(row["finished_at"]))
    out.print(facts)
    if row["adjustments"]:
        _adjustments(out, row)
    if "body" in row:
        out.print("\n[bold]body[/bold]")
        out.print(Text(row["body"]), soft_wrap=True)


def _adjustments(out: Console, row: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{count} {status}" for status, count in row["adjustment_counts"].items())
    out.print(f"\n[bold]adjustments[/bold]: {counts}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("member", "tier", "status", "outcome", "reason", "code", "attempts", "next try (UTC)", "message"):
        table.add_column(name, overflow="fold")
    for owed in row["adjustments"]:
        table.add_row(
            str(owed["member"]),
            Text(_tier(owed)),
            _status(owed["status"]),
            owed["outcome"] or "",
            owed["reason"] or "",
            str(owed["code"] or ""),
            str(owed["attempts"]),
            _when(owed["due_at"]) if owed["attempts"] else "",
            Text(owed["message"] or ""),
        )
    out.print(table)


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


def replayed(report: Mapping[str, Any]) -> None:
    """What a replay did, or would do."""
    out = console()
    if report.get("dry_run"):
        out.print(f"{_events(report['matched'])} would be replayed. Nothing was changed.")
        return
    if _unfinished(out, report):
        return
    out.print(
        f"{_events(report['done'])} replayed: {report['due']} due again, {report['converges']} overtaken meanwhile "
        f"(their groups go to the newest tier), {report['unchanged']} unchanged (still dead, quarantined or ignored)."
    )
    if report["due"] or report["converges"]:
        out.print(
            "A running server takes them up within seconds; otherwise the next `tiersync serve` does.", style="dim"
        )


def purged(report: Mapping[str, Any]) -> None:
    """What a purge did, or would do."""
    out, kept = console(), f"{report['kept']} stay: unfinished, the newest of their primary, or too young."
    if report.get("dry_run"):
        out.print(f"{report['removed']} of {_events(report['matched'])} would be removed, {kept} Nothing was changed.")
    elif not _unfinished(out, report):
        out.print(f"{_events(report['removed'])} removed, {kept}")


def reconciled(report: Mapping[str, Any]) -> None:
    """What a reconcile found, and what became of it."""
    out = console()
    if report["members"] or report["not_read"]:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("org", "program", "primary", "member", "holds", "belongs in", "result", "reason"):
            table.add_column(name, overflow="fold")
        for row in [*report["members"], *({**row, "result": "not read"} for row in report["not_read"])]:
            ids = [str(row[name] or "") for name in ("org", "program", "primary", "member")]
            tiers = [Text(row.get(name) or "") for name in ("held", "tier")]
            table.add_row(*ids, *tiers, _status(row["result"]), row["reason"] or "")
        out.print(table)
    for job in report["jobs"]:
        if job["status"] != "done":
            how = "waits for a server" if job["status"] == "running" else f"was {job['status']}"
            out.print(f"Job {job['job']} {how}: {job['done']} of {job['of']} groups compared. See `tiersync jobs`.")
    counted = ", ".join(f"{report[name]} {name.replace('_', ' ')}" for name in _COUNTED)
    groups = "1 group" if report["groups"] == 1 else f"{report['groups']} groups"
    out.print(f"{groups} compared: {counted}." + (" Nothing was changed." if report["dry_run"] else ""))


_COUNTED: Final = ("in_step", "spared", "drifted", "repaired", "left", "unread")


def _unfinished(out: Console, report: Mapping[str, Any]) -> bool:
    if report["status"] == "done":
        return False
    how = "is left to the running server" if report["status"] == "running" else f"was {report['status']}"
    out.print(f"Job {report['job']} {how}: {report['done']} of {_events(report['matched'])} done. See `tiersync jobs`.")
    return True


def imported(counts: Mapping[str, int]) -> None:
    """What an import came to."""
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
    console().print(f"{_events(sum(counts.values()))} read: {told}.")


def orgs(states: Sequence["OrgState"]) -> None:
    """A table of orgs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("org", "state", "since (UTC)", "why", "by", "next probe (UTC)"):
        table.add_column(name, overflow="fold")
    for state in states:
        named = str(state.org or "every org")
        if state.paused_at is not None:
            paused = Text("paused", style="bold yellow")
            since, why = _when(state.paused_at), Text(state.pause_reason or "")
            table.add_row(named, paused, since, why, state.paused_by or "", "")
        if state.breaker != "closed":
            away = Text("Capillary away", style="bold red")
            table.add_row(
                named, away, _when(state.breaker_at), state.breaker_reason or "", "", _when(state.breaker_until)
            )
        elif state.paused_at is None:
            table.add_row(named, Text("working", style="green"), "", "", "", "")
    console().print(table)


def jobs(found: Sequence["Job"]) -> None:
    """A table of jobs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("job", "begun (UTC)", "by", "does", "to", "status", "done", "results"):
        table.add_column(name, overflow="fold")
    for job in found:
        every, per = ("every group", "min") if job.kind == "reconcile" else ("every event", "s")
        what = [f"{name}={value}" for name, value in job.selection.items()] or [every]
        how = [*(["force"] if job.force else []), *([f"{job.rate}/{per}"] if job.rate else [])]
        table.add_row(
            str(job.id),
            _when(job.at),
            job.by,
            " ".join([job.kind, *how]),
            Text(" ".join(what)),
            _status(job.status) if job.detail is None else Text(f"{job.status} ({job.detail})"),
            f"{job.done}/{job.matched}",
            ", ".join(f"{count} {name}" for name, count in job.counts.items()),
        )
    console().print(table if found else Text("No jobs.", style="dim"))


def findings(found: Sequence["Finding"]) -> None:
    """The doctor's list."""
    out = console()
    for finding in found:
        mark = Text("ok  ", style="green") if finding.ok else Text("FAIL", style="bold red")
        if finding.ok and finding.warns:
            mark = Text("warn", style="bold yellow")
        out.print(mark, Text(f"{finding.what}: {finding.detail}"))
