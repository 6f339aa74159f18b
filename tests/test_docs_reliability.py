"""docs/reliability.md names the tests that keep its promises; they exist, and no file of the chaos is left out."""

import re
from pathlib import Path

PAGE = Path("docs/reliability.md")


def named() -> list[tuple[str, str]]:
    """List the tests that the page names: file and function, which may be empty."""
    return re.findall(r"\(\.\./(tests/[\w/]+\.py)\)(?:`?::`?(\w+))?", PAGE.read_text())


def test_every_named_test_exists() -> None:
    """Each test that the page names can be run by that name."""
    missing = [
        (file, name)
        for file, name in named()
        if not Path(file).is_file() or (name and f"def {name}(" not in Path(file).read_text())
    ]

    assert len(named()) > 15
    assert [] == missing


def test_every_file_of_the_chaos_keeps_a_promise() -> None:
    """What is broken in tests/chaos stands on the page."""
    files = {str(file) for file in Path("tests/chaos").glob("test_*.py")}

    assert set() == files - {file for file, _ in named()}
