"""What the verbs print for a person. Piped, narrow or without colour, the same words remain."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

from tiersync.cli.screen import Cell, Column, Fit, console, facts, safe, say, table

if TYPE_CHECKING:
    from tiersync.cli.checks import Finding
    from tiersync.store import Job, OrgState

_COLOURS: Final = {
    "done": "green",
    "repaired": "green",
    "working": "green",
    "left": "bold red",
    "pending": "cyan",
    "due": "cyan",
    "running": "cyan",
    "dead": "bold red",
    "failed": "bold red",
    "quarantined": "bold red",
    "Capillary away": "bold red",
    "paused": "bold yellow",
    "superseded": "dim",
    "ignored": "dim",
    "skipped": "dim",
}
_IDS_SHOWN_MAX: Final = 3
_DRY_RUN: Final = "dry_run"
_COUNTED: Final = ("in_step", "spared", "drifted", "repaired", "left", "unread", "without_group")
_WOULD_BE_REPAIRED: Final = "would be repaired"


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


def _or_nothing(value: object) -> str:
    return str(value or "")


def _or_dash(org: int) -> str:
    """An org's id, or that the event named none."""
    return str(org or "-")


def _tier(row: Mapping[str, Any]) -> str:
    number = row["tier_number"]
    return " ".join(part for part in (str(number) if number is not None else "", row["tier_name"] or "") if part)


def counted(count: int, name: str) -> str:
    """So many of something, in words."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


_EVENT: Final = (
    Column("received (UTC)", Fit.TIME),
    Column("event", Fit.ID),
    Column("org", Fit.SPARE),
    Column("program", Fit.SPARE),
    Column("customer"),
    Column("action", Fit.TEXT),
    Column("tier", Fit.TEXT),
    Column("status"),
    Column("reason", Fit.TEXT),
)


def events(rows: Sequence[Mapping[str, Any]], matched: int) -> None:
    """A table of events."""
    out = console()
    shown = [
        (
            _when(row["received_at"]),
            row["event_id"],
            _or_dash(row["org"]),
            _or_nothing(row["program"]),
            _or_nothing(row["customer"]),
            row["action"] or (row["kind"] if row["kind"] == "reconcile" else row["name"]),
            _tier(row),
            _status(row["status"]),
            _or_nothing(row["reason"]),
        )
        for row in rows
    ]
    lost = bool(rows) and table(out, _EVENT, shown)
    all_in_all = counted(matched, "event") if len(rows) == matched else f"{len(rows)} of {counted(matched, 'event')}"
    said = f"{all_in_all}." if matched else "No events."
    say(out, f"{said} A wider screen, a pipe and --json show what was cut." if lost else said, "dim")


_ADJUSTMENT: Final = (
    Column("member"),
    Column("tier", Fit.TEXT),
    Column("status"),
    Column("outcome"),
    Column("reason", Fit.TEXT),
    Column("code"),
    Column("attempts"),
    Column("next try (UTC)", Fit.TIME),
    Column("message", Fit.TEXT),
)


def event(row: Mapping[str, Any]) -> None:
    """One event and its adjustments."""
    out = console()
    named = ("program", "customer", "member", "duplicates")
    facts(
        out,
        [
            ("event", row["event_id"]),
            ("status", _status(row["status"])),
            *((name, _or_nothing(row[name])) for name in ("reason", "detail", "name")),
            ("org", _or_dash(row["org"])),
            *((name, _or_nothing(row[name])) for name in named),
            ("tier", _tier(row)),
            ("received (UTC)", _when(row["received_at"])),
            ("finished (UTC)", _when(row["finished_at"])),
        ],
    )
    if row["adjustments"]:
        _adjustments(out, row)
    if "body" in row:
        out.print(Text("\nbody", "bold"))
        out.print(Text(safe(row["body"], lines=True)), soft_wrap=True)


def _adjustments(out: Console, row: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{count} {status}" for status, count in row["adjustment_counts"].items())
    out.print(Text.assemble("\n", ("adjustments", "bold"), f": {counts}"))
    shown = [
        (
            str(owed["member"]),
            _tier(owed),
            _status(owed["status"]),
            _or_nothing(owed["outcome"]),
            _or_nothing(owed["reason"]),
            _or_nothing(owed["code"]),
            str(owed["attempts"]),
            _when(owed["due_at"]) if owed["attempts"] else "",
            _or_nothing(owed["message"]),
        )
        for owed in row["adjustments"]
    ]
    table(out, _ADJUSTMENT, shown)


def replayed(report: Mapping[str, Any]) -> None:
    """What a replay did, or would do."""
    out = console()
    if not report["matched"]:
        say(out, "No events are meant. Nothing was changed.")
    elif report.get("dry_run"):
        say(out, f"{counted(report['matched'], 'event')} would be replayed. Nothing was changed.")
    elif not _unfinished(out, report):
        say(
            out,
            f"{counted(report['done'], 'event')} replayed: {report['due']} due again, {report['converges']} overtaken "
            f"meanwhile (their groups go to the newest tier), {report['unchanged']} unchanged (still dead, quarantined "
            "or ignored).",
        )
        if report["due"] or report["converges"]:
            say(
                out,
                "A running server takes them up within seconds; otherwise the next `tiersync serve` does.",
                "dim",
            )


def purged(report: Mapping[str, Any]) -> None:
    """What a purge did, or would do."""
    out, kept = console(), f"{report['kept']} stay: unfinished, the newest of their primary, or too young."
    if not report["matched"]:
        say(out, "No events are meant. Nothing was changed.")
    elif report.get("dry_run"):
        told = f"{report['removed']} of {counted(report['matched'], 'event')} would be removed, {kept}"
        say(out, f"{told} Nothing was changed.")
    elif not _unfinished(out, report):
        say(out, f"{counted(report['removed'], 'event')} removed, {kept}")


def _unfinished(out: Console, report: Mapping[str, Any]) -> bool:
    if report["status"] == "done":
        return False
    how = "is left to the running server" if report["status"] == "running" else f"was {report['status']}"
    told = f"Job {report['job']} {how}: {report['done']} of {counted(report['matched'], 'event')} done."
    say(out, f"{told} See `tiersync jobs`.")
    return True


_DRIFT: Final = (
    Column("org", Fit.SPARE),
    Column("program", Fit.SPARE),
    Column("primary"),
    Column("member"),
    Column("holds", Fit.TEXT),
    Column("belongs in", Fit.TEXT),
    Column("result"),
    Column("reason", Fit.TEXT),
)


def reconciled(report: Mapping[str, Any]) -> None:
    """What a reconcile found, and what became of it."""
    out = console()
    found = [*report["members"], *({**row, "result": "not read"} for row in report["not_read"])]
    if found:
        table(out, _DRIFT, [_drifted(row) for row in found])
    if any(row["reason"] == "program_unknown" for row in report["not_read"]):
        say(out, "program_unknown: give --program or set TIERSYNC_DEFAULT_PROGRAM.")
    for job in report["jobs"]:
        if job["status"] != "done":
            how = "waits for a server" if job["status"] == "running" else f"was {job['status']}"
            why = f" ({job['why']})" if job.get("why") else ""
            told = f"Job {job['job']} {how}{why}: {job['done']} of {counted(job['of'], 'group')} compared."
            say(out, f"{told} See `tiersync jobs`.")
    if report["groups"] or all(job["status"] == "done" for job in report["jobs"]):
        results = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in _came_to(report).items())
        told = f"{counted(report['groups'], 'group')} compared: {results}."
        say(out, f"{told} Nothing was changed." if report["dry_run"] else told)


def _came_to(report: Mapping[str, Any]) -> dict[str, int]:
    """The figures of a reconcile; in a dry run nothing was to be repaired, so what is left is what would have been."""
    counts = {name: report[name] for name in _COUNTED}
    if report["dry_run"]:
        would = sum(row["reason"] == _DRY_RUN for row in report["members"])
        named = {"repaired": _WOULD_BE_REPAIRED}
        counts = {named.get(name, name): count for name, count in counts.items()}
        counts |= {_WOULD_BE_REPAIRED: would, "left": report["left"] - would}
    return counts


def _drifted(row: Mapping[str, Any]) -> list[Cell]:
    ids = [_or_dash(row["org"]), *(_or_nothing(row[name]) for name in ("program", "primary", "member"))]
    tiers = [_or_nothing(row.get(name)) for name in ("held", "tier")]
    result, reason = row["result"], row["reason"]
    if reason == _DRY_RUN:
        result, reason = _WOULD_BE_REPAIRED, None
    return [*ids, *tiers, _status(result), _or_nothing(reason)]


def imported(counts: Mapping[str, int]) -> None:
    """What an import came to."""
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
    say(console(), f"{counted(sum(counts.values()), 'event')} read: {told}.")


_ORG: Final = (
    Column("org"),
    Column("state"),
    Column("since (UTC)", Fit.TIME),
    Column("why", Fit.TEXT),
    Column("by", Fit.TEXT),
    Column("next probe (UTC)", Fit.TIME),
)


def orgs(states: Sequence["OrgState"]) -> None:
    """A table of orgs."""
    table(console(), _ORG, [row for state in states for row in _standing(state)])


def _standing(state: "OrgState") -> Iterable[Sequence[Cell]]:
    named = str(state.org or "every org")
    if state.paused_at is not None:
        since, why, by = _when(state.paused_at), _or_nothing(state.pause_reason), _or_nothing(state.paused_by)
        yield named, _status("paused"), since, why, by, ""
    if state.breaker != "closed":
        since, why, until = _when(state.breaker_at), _or_nothing(state.breaker_reason), _when(state.breaker_until)
        yield named, _status("Capillary away"), since, why, "", until
    elif state.paused_at is None:
        yield named, _status("working"), "", "", "", ""


_JOB: Final = (
    Column("job"),
    Column("begun (UTC)", Fit.TIME),
    Column("by", Fit.TEXT),
    Column("does", Fit.TEXT),
    Column("to", Fit.TEXT),
    Column("status", Fit.TEXT),
    Column("done"),
    Column("results", Fit.TEXT),
)


def jobs(found: Sequence["Job"]) -> None:
    """A table of jobs."""
    out, shown = console(), []
    for job in found:
        every, per = ("every group", "min") if job.kind == "reconcile" else ("every event", "s")
        what = [_asked(name, value, whole=not out.is_terminal) for name, value in job.selection.items()] or [every]
        how = [*(["force"] if job.force else []), *([f"{job.rate}/{per}"] if job.rate else [])]
        shown.append(
            (
                str(job.id),
                _when(job.at),
                job.by,
                " ".join([job.kind, *how]),
                ", ".join(what),
                _status(job.status) if job.detail is None else f"{job.status} ({job.detail})",
                f"{job.done}/{job.matched}",
                ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in job.counts.items()),
            )
        )
    if shown:
        table(out, _JOB, shown)
    else:
        say(out, "No jobs.", "dim")


def _asked(name: str, value: Any, *, whole: bool) -> str:
    """What a job was asked for, one word of it; `whole` names every event, however many they are."""
    named = name.replace("_", " ")
    if name == "ids":
        return " ".join(value) if whole or len(value) <= _IDS_SHOWN_MAX else f"{len(value)} events by id"
    if name in {"since", "until"}:
        return f"{named} {_when(value)}"
    return named if value is True else f"{named} {value}"


def findings(found: Iterable["Finding"]) -> None:
    """The doctor's list."""
    facts(console(), ((_mark(finding), f"{finding.what}: {finding.detail}") for finding in found))


def _mark(finding: "Finding") -> Text:
    if not finding.ok:
        return Text("FAIL", "bold red")
    return Text("warn", "bold yellow") if finding.warns else Text("ok", "green")
