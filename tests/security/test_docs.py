"""The threat model names the tests that keep it; they exist."""

import re
from pathlib import Path

PAGE = Path("docs/security.md")


def test_every_named_test_exists() -> None:
    """Each test that docs/security.md names can be run by that name."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text())

    missing = [
        (file, name)
        for file, name in named
        if not Path(file).is_file() or (name and f"def {name}(" not in Path(file).read_text())
    ]

    assert len(named) > 15
    assert [] == missing
