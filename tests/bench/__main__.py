"""Run the bench and write docs/performance.md: `python -m tests.bench`, or of its parts `… beside` and the like."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.bench import backlog, beside, capacity, console, loyalty, measures, replicas, report
from tests.bench.measures import Bench
from tests.bench.processes import ROOT

REPETITIONS: Final = 3
PAGE: Final = ROOT / "docs" / "performance.md"
_console: Final = Console(stderr=True)


def _repeat(here: Bench, results: report.Results, number: int) -> None:
    """One repetition: service and recipe in turn, so that both meet the machine in the same mood."""
    results.answers.append(measures.answers(here, f"answers-{number}"))
    _console.print(f"{number}. answers:", results.answers[-1])
    with here.service(f"service-{number}") as service:
        results.service.append(measures.burst(here, service))
        results.service_first_call.append(measures.first_call(here, service))
    _console.print(f"{number}. service:", results.service[-1], results.service_first_call[-1])
    many, few = report.RECIPE_CALLS
    with here.recipe(f"recipe-{number}", many) as recipe:
        results.recipe.append(measures.burst(here, recipe))
        results.recipe_first_call.append(measures.first_call(here, recipe))
    _console.print(f"{number}. recipe:", results.recipe[-1], results.recipe_first_call[-1])
    with here.recipe(f"recipe-few-{number}", few) as recipe:
        results.recipe_few_calls.append(measures.burst(here, recipe))
    _console.print(f"{number}. recipe, {few} calls:", results.recipe_few_calls[-1])


def _service(page: Path) -> None:
    """The service and the recipe: the head of the page, and its first sections."""
    began, results, machine = time.monotonic(), report.Results(), report.machine()
    with tempfile.TemporaryDirectory(prefix="tiersync-bench-") as folder, measures.bench(Path(folder)) as here:
        for number in range(1, REPETITIONS + 1):
            _repeat(here, results, number)
        for size in report.LARGE:
            with here.service(f"large-{size}") as service:
                results.service_large.append(measures.large_group(here, service, size))
            _console.print(f"group of {size:,}, service:", results.service_large[-1])
        with here.recipe("large-recipe", report.RECIPE_CALLS[0]) as recipe:
            results.recipe_large.append(measures.large_group(here, recipe, report.LARGE[0]))
        _console.print(f"group of {report.LARGE[0]:,}, recipe:", results.recipe_large[-1])
    results.seconds = time.monotonic() - began
    kept = page.read_text().partition(f"\n{report.LAST}")[2].partition("\n## ") if page.exists() else ("", "", "")
    page.write_text(report.page(results, machine) + kept[1] + kept[2])


PARTS: Final[Mapping[str, Callable[[Path], None]]] = {
    "service": _service,
    "beside": beside.main,
    "replicas": replicas.main,
    "backlog": backlog.main,
    "capacity": capacity.main,
    "loyalty": loyalty.main,
}


def main() -> None:
    """Measure what is named, else everything; each part rewrites its own sections of the page."""
    for name in sys.argv[1:] or PARTS:
        if name not in PARTS:
            sys.exit(f"no such part: {name}; there are {', '.join(PARTS)}")
        PARTS[name](PAGE)
    _console.print(PAGE.read_text(), markup=False)


if __name__ == "__main__":
    if sys.argv[1:] == ["console"]:
        sys.exit(console.main())
    main()
