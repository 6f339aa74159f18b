"""The service and the sandbox as processes of their own: what an operator starts, with its log in a file."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

START_S_MAX: Final = 30.0
END_S_MAX: Final = 30.0


@asynccontextmanager
async def running(
    *arguments: str, environment: Mapping[str, str], url: str, log: Path, module: str = "tiersync"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `tiersync ARGUMENTS` until the block ends, by SIGTERM or if it must by SIGKILL; ready when `url` answers."""
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module, *arguments),
            env={**os.environ, **environment},
            stdout=written,
            stderr=written,
        )
    try:
        await answers(url, process, log)
        yield process
    finally:
        await end(process)


async def answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until a process answers at `url`."""
    async with asyncio.timeout(START_S_MAX), httpx.AsyncClient(trust_env=False) as client:
        while True:
            assert process.returncode is None, _text(log)
            try:
                await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.02)
            else:
                return


def _text(log: Path) -> str:
    return log.read_text()


async def end(process: asyncio.subprocess.Process) -> int:
    """Ask a process to end, and see that it does; returns its exit code."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(END_S_MAX):
                return await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()
