"""The tables of docs/codes.md and docs/configuration.md, made from the code they describe.

`python -m tests.generate_docs` rewrites what stands between the markers; everything around it is kept by hand.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final

from tiersync.capillary.codes import CODES, Code, Reaction
from tiersync.settings import PREFIX, OrgSettings, Settings

COMMAND: Final = ".venv/bin/python -m tests.generate_docs"
DOCS: Final = Path(__file__).parents[1] / "docs"

_DOES: Final[Mapping[Reaction, str]] = {
    Reaction.SOON: "calls again at once, a few times; then by the schedule",
    Reaction.LATER: "calls again by the schedule",
    Reaction.REFUSED: "gives up: dead",
    Reaction.READ_BACK: "reads the member's tier, then decides",
    Reaction.NOT_PRIMARY: "ignores the event: nobody to adjust",
}
_DOES_FOR: Final[Mapping[int, str]] = {
    400: "reads the member's tier after an upgrade or a downgrade; if it is not there: dead",
    401: "fetches a fresh token once (OAuth); then by the schedule",
    429: "lets no call of the org out until `Retry-After`, or for 1, 2, 4, … 60 s; then by the schedule",
}
_SECTIONS: Final[Mapping[str, str]] = {
    "capillary_url": "Capillary: address and credentials",
    "calls_concurrent_max": "Capillary: limits",
    "secondary_above_primary": "Policies",
    "org": "Orgs",
    "webhook_header": "Who may call",
    "database_url": "Where",
    "body_bytes_max": "Limits of what comes in",
    "commit_batch_max": "Limits of the work",
    "retention_done_days": "How long events are kept",
    "retry_delays_s": "The schedule of retries",
    "log_level": "Logs",
}
"""Each section begins with this setting, in the order of the model."""
_UNITS: Final = (
    ("_per_minute_max", "calls/minute"),
    ("_bytes_max", "bytes"),
    ("_rows_max", "rows"),
    ("members_max", "members"),
    ("_days", "days"),
    ("_every_h", "hours"),
    ("_keys_max", "primaries"),
    ("_share", "share of 1"),
    ("_s", "seconds"),
    ("_s_max", "seconds"),
)


def codes_table() -> str:
    """One row for each documented code."""
    rows = [
        (str(number), code.meaning, _DOES_FOR.get(number) or _does(code), f"`{code.reason}`")
        for number, code in CODES.items()
    ]
    return _table(("code", "means", "tiersync", "reason"), rows)


def _does(code: Code) -> str:
    return _DOES[code.reaction] + ("; reads the member's tier first" if code.in_doubt else "")


def settings_tables() -> str:
    """One row for each setting, in sections."""
    lines: list[str] = []
    rows: list[tuple[str, ...]] = []
    for name in Settings.model_fields:
        if name in _SECTIONS:
            lines += [_settings_table(rows), ""] if rows else []
            lines += [f"### {_SECTIONS[name]}", ""]
            rows = []
        rows.append(_setting(name))
    return "\n".join([*lines, _settings_table(rows)])


def _settings_table(rows: list[tuple[str, ...]]) -> str:
    return _table(("variable", "meaning", "default", "unit", "per org"), rows)


def _setting(name: str) -> tuple[str, ...]:
    field = Settings.model_fields[name]
    unit = next((unit for ending, unit in _UNITS if name.endswith(ending)), "")
    meaning = re.sub(r", (seconds|hours|bytes|rows|members)(?=[.;])", "", field.description or "")
    return f"`{PREFIX}{name.upper()}`", meaning, _shown(field.default), unit, "yes" if _per_org(name) else ""


def _per_org(name: str) -> bool:
    return name in OrgSettings.model_fields


def _shown(default: Any) -> str:
    match default:
        case None | [] | {}:
            return "none"
        case Enum():
            return f"`{default.value}`"
        case list():
            return "`" + ",".join(f"{part:g}" for part in default) + "`"
        case float():
            return f"`{default:g}`"
        case _:
            return f"`{default}`"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


TABLES: Final = {"codes.md": ("codes", codes_table), "configuration.md": ("settings", settings_tables)}


def rendered(file: str) -> str:
    """The text that docs/`file` should have: as it is, with its table as the code says."""
    name, table = TABLES[file]
    begin, end = f"<!-- {name}: written by `{COMMAND}` -->", f"<!-- end of {name} -->"
    before, _, rest = (DOCS / file).read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"docs/{file}: the lines {begin} and {end} are missing")
    return f"{before}{begin}\n\n{table()}\n\n{end}{after}"


def main() -> None:
    """Write every table."""
    for file in TABLES:
        (DOCS / file).write_text(rendered(file), encoding="utf-8")


if __name__ == "__main__":
    main()
