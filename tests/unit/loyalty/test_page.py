"""docs/loyalty.md says what the core does."""

import re
from pathlib import Path

import pytest

from tiersync.loyalty.vocabulary import FUNCTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "loyalty.md").read_text()


def test_the_example_prints_what_its_comments_say(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's example runs as it stands, and each comment is what its line prints."""
    example = PAGE.partition("```python\n")[2].partition("```")[0]

    exec(compile(example, "docs/loyalty.md", "exec"), {})  # noqa: S102 - the page's own example

    assert re.findall(r"# (\[.*)", example) == capsys.readouterr().out.splitlines()


def test_every_function_of_the_language_is_named() -> None:
    """Whoever writes a condition finds each function on the page."""
    named = set(re.findall(r"`(\w+)(?:\(…?\))?`", PAGE))

    assert set(FUNCTIONS) <= named
