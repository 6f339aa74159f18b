"""How `--help` looks: whole sentences at any width, and nothing cut."""

import shutil
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

_WIDEST: Final = 80
_NARROWEST: Final = 20
_TWO_COLUMNS_MIN: Final = 60

#: In this order a newcomer meets them.
VERBS: Final = (
    *("serve", "doctor", "events", "replay", "reconcile", "pause", "resume", "orgs", "jobs"),
    *("purge", "export", "import", "send", "migrate", "sandbox", "demo"),
)


def _columns() -> int:
    return max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST)) - 1


class Command(TyperCommand):
    """A verb."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Know how wide the screen is."""
        return super().make_context(info_name, args, parent, terminal_width=_columns(), **extra)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name what must be given as it is, without braces."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A verb that has verbs below it."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Know how wide the screen is."""
        return super().make_context(info_name, args, parent, terminal_width=_columns(), **extra)

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the verbs, in the order of `VERBS`."""
        return sorted(super().list_commands(ctx), key=lambda name: VERBS.index(name) if name in VERBS else len(VERBS))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, then the verbs with the whole first sentence of each."""
        _write_parameters(self, ctx, formatter)
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, (verb.help or "").partition("\n\n")[0]) for name, verb in verbs if verb is not None]
        _write("Commands", rows, formatter)


def _write_parameters(command: Command | Group, ctx: Any, formatter: Any) -> None:
    rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
    for each in command.get_params(ctx):
        name, text = each.get_help_record(ctx) or ("", "")
        if name:  # of an argument with Python's type behind it
            rows[each.param_type_name].append((name.partition(" <")[0], text))
    for kind, its_rows in rows.items():
        _write(f"{kind.title()}s", its_rows, formatter)


def _write(heading: str, rows: list[tuple[str, str]], formatter: Any) -> None:
    if not rows:
        return
    with formatter.section(heading):
        if formatter.width >= _TWO_COLUMNS_MIN:
            formatter.write_dl(rows)
            return
        for name, text in rows:
            formatter.write_text(name)
            with formatter.indentation():
                formatter.write_text(text)
