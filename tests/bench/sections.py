"""Pure. The sections of docs/performance.md: each is measured by itself and rewritten in its place."""


def placed(page: str, heading: str, part: str) -> str:
    """The page with this section (which begins with its heading) in the place of the one it had, else at its end."""
    before, found, after = page.partition(f"{heading}\n")
    _, following, rest = after.partition("\n## ") if found else ("", "", "")
    return f"{before.rstrip()}\n\n{part.rstrip()}\n" + (f"\n## {rest}" if following else "")
