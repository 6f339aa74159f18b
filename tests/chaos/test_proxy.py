"""The disturbable line does what its commands say; what the other files prove rests on that."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import Proxy, Way, line

SOON_S = 10.0


@pytest.fixture
async def echoing() -> AsyncIterator[Proxy]:
    """Draw a line to somebody who says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1024):
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, line(server.sockets[0].getsockname()) as found:
        yield found


async def said(here: Proxy, words: bytes) -> bytes:
    """Say something over a new connection; returns what comes back until that is complete or the line ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    writer.write(words)
    try:
        async with asyncio.timeout(SOON_S):
            return await reader.readexactly(len(words))
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_good_line_carries_both_ways(echoing: Proxy) -> None:
    """What is sent arrives, and so does the answer."""
    assert b"hello" == await said(echoing, b"hello")


async def test_a_line_that_is_away_answers_nothing_until_it_is_mended(echoing: Proxy) -> None:
    """A new connection ends at once; after mending one carries again."""
    echoing.leave()
    away = await said(echoing, b"hello")
    echoing.mend()

    assert (b"", b"hello") == (away, await said(echoing, b"hello"))


async def test_an_answer_can_be_cut(echoing: Proxy) -> None:
    """So many bytes come back and no more."""
    echoing.cut_after(2)

    assert b"he" == await said(echoing, b"hello")


@pytest.mark.parametrize("way", Way)
async def test_a_frozen_line_is_silent_and_then_goes_on(echoing: Proxy, way: Way) -> None:
    """Nothing comes back while one direction is frozen, and the connection does not end; thawed, everything does."""
    echoing.freeze(way)
    saying = asyncio.create_task(said(echoing, b"hello"))
    done, _ = await asyncio.wait([saying], timeout=0.1)
    echoing.mend()

    assert set() == done
    assert b"hello" == await saying


@pytest.mark.parametrize("forgets", [True, False])
async def test_what_was_given_up_arrives_unless_the_line_forgets_it(*, forgets: bool) -> None:
    """A caller hangs up while the line is frozen: thawed, it delivers what was said, or nothing."""
    heard = asyncio.get_running_loop().create_future()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server, line(server.sockets[0].getsockname(), forgets=forgets) as frozen:
        frozen.freeze(Way.THERE)
        _, writer = await asyncio.open_connection("127.0.0.1", frozen.port)
        writer.write(b"hello")
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.1)
        frozen.mend()
        async with asyncio.timeout(SOON_S):
            arrived = await heard

    assert (b"" if forgets else b"hello") == arrived


@pytest.mark.parametrize(("command", "ending"), [("cut", b""), ("reset", ConnectionResetError)])
async def test_open_connections_end(echoing: Proxy, command: str, ending: bytes | type[OSError]) -> None:
    """A cut is the end of the stream, a reset is an error; neither ends a connection that is made later."""
    reader, writer = await asyncio.open_connection("127.0.0.1", echoing.port)
    writer.write(b"hello")
    await reader.readexactly(5)

    getattr(echoing, command)()
    async with asyncio.timeout(SOON_S):
        ended = (await asyncio.gather(reader.read(1), return_exceptions=True))[0]
    writer.close()

    assert ending == (type(ended) if isinstance(ended, Exception) else ended)
    assert b"again" == await said(echoing, b"again")
