"""The two transports side by side, on a stub that answers at once: `python -m tests.bench.transports`."""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from tests.bench.processes import MEASURED_CORE, OTHER_CORE, running
from tests.ports import free_port
from tiersync.capillary import HttpxTransport, Line, PyreqwestTransport, Transport

LANES: Final = 64
CALLS_PER_LANE: Final = 100
REPETITIONS: Final = 5
_PATH: Final = "/v2/slab/manualSlabAdjustment?source=INSTORE&identifierName=id&identifierValue=100001"
_HEADERS: Final = {"Accept": "application/json", "Content-Type": "application/json", "Authorization": "Basic eDp5"}
_BODY: Final = b'{"programId": 1427, "slabAction": "UPGRADE", "toSlabName": "GoldP2", "slabChangeReason": "bench"}'


async def _calls(transport: Transport, url: str) -> tuple[float, float]:
    """Calls a second, and microseconds of CPU for each."""

    async def lane(calls: int) -> None:
        for _ in range(calls):
            await transport.send("POST", url, _HEADERS, _BODY, 8)

    await asyncio.gather(*(lane(5) for _ in range(LANES)))
    began, cpu_s = time.monotonic(), time.process_time()
    await asyncio.gather(*(lane(CALLS_PER_LANE) for _ in range(LANES)))
    calls = LANES * CALLS_PER_LANE
    return calls / (time.monotonic() - began), 1e6 * (time.process_time() - cpu_s) / calls


async def measure(url: str) -> dict[str, list[tuple[float, float]]]:
    """Both in turn, so that they meet the machine in the same mood."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(REPETITIONS):
        for kind in (HttpxTransport, PyreqwestTransport):
            transport = kind(Line(connections_max=LANES, connect_s_max=3, response_bytes_max=1_000_000))
            found.setdefault(kind.__name__, []).append(await _calls(transport, url))
            await transport.close()
    return found


def main() -> None:
    """Print the medians."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tiersync-bench-") as folder:
        stub = running(OTHER_CORE, ["tests.bench.stub", str(port)], port, {}, Path(folder) / "stub.log")
        with stub:
            os.sched_setaffinity(0, {MEASURED_CORE})
            found = uvloop.run(measure(f"http://127.0.0.1:{port}{_PATH}"))
    for name, rounds in found.items():
        per_s, cpu_us = (statistics.median(one[place] for one in rounds) for place in (0, 1))
        Console().print(f"{name}: {per_s:,.0f} calls a second, {cpu_us:.0f} µs of CPU for each")


if __name__ == "__main__":
    main()
