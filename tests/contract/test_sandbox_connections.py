"""Faults of the connection itself, against a real server on a loopback port."""

import asyncio
import signal
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.contract.sandbox_kit import ADJUST, MOTHER, PRIMARY, Lab, login, on_a_port, until
from tiersync.sandbox.settings import SandboxSettings


async def raw(lab: Lab, seconds: float = 2) -> bytes:
    """Send an adjustment over a bare socket; returns what came before the connection ended."""
    body = (
        b'{"programId":973,"slabAction":"UPGRADE","toSlabName":"Gold",'
        b'"manualSlabActionValidity":"AS_PER_TIER_STRATEGY"}'
    )
    head = (
        f"POST {ADJUST}?source=INSTORE&identifierName=id&identifierValue={MOTHER} HTTP/1.1\r\n"
        f"Host: x\r\nAuthorization: {login(lab.settings)['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.client.base_url.port)
    try:
        writer.write(head.encode() + body)
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


async def test_a_reset_ends_the_connection_without_an_answer() -> None:
    """`reset` answers nothing, applies nothing, and ends with a reset."""
    async with on_a_port() as lab:
        await lab.switch(adjust={"reset": True})
        with pytest.raises(ConnectionResetError):
            await raw(lab)
        tier = await lab.tier()

    assert tier["currentTierName"] == "Silver"


@pytest.mark.parametrize(("fault", "tier"), [("timeout_before_applying", "Silver"), ("applied_then_timeout", "Gold")])
async def test_a_drop_ends_the_connection_after_the_hold(fault: str, tier: str) -> None:
    """`drop` says nothing for the time, then closes; whether it was applied is what the two faults differ in."""
    async with on_a_port() as lab:
        await lab.switch(adjust={fault: {"hold_ms": 50}})
        began = asyncio.get_running_loop().time()
        answer = await raw(lab)
        took = asyncio.get_running_loop().time() - began
        after = await lab.tier()

    assert answer == b""
    assert took >= 0.05
    assert after["currentTierName"] == tier


async def test_a_hold_can_end_with_a_reset() -> None:
    """`then: reset` ends with a reset."""
    async with on_a_port() as lab:
        await lab.switch(adjust={"applied_then_timeout": {"hold_ms": 10, "then": "reset"}})
        with pytest.raises(ConnectionResetError):
            await raw(lab)


@pytest.mark.parametrize("fault", ["timeout_before_applying", "applied_then_timeout"])
async def test_never_answering_ends_when_the_caller_gives_up(fault: str) -> None:
    """`then: never` leaves the caller to its own timeout; afterwards nothing is running any more."""
    async with on_a_port() as lab:
        await lab.switch(adjust={fault: {"then": "never"}})
        with pytest.raises(TimeoutError):
            await raw(lab, 0.1)

        async def over() -> bool:
            return not (await lab.calls())["running"]

        await until(over)
        log = (await lab.calls())["calls"][0]

    assert (log["status"], log["fault"], log["finished"]) == (None, f"adjust.{fault}", True)


async def test_a_client_sees_its_own_errors() -> None:
    """A client sees a broken connection, a timeout, and a body that comes slowly."""
    async with on_a_port() as lab:
        await lab.switch(adjust={"reset": {"first": 1}, "applied_then_timeout": {"after": 1}})
        with pytest.raises(httpx.TransportError):
            await lab.adjust()
        with pytest.raises(httpx.ReadTimeout):
            await lab.client.post(
                ADJUST,
                params={"source": "INSTORE", "identifierName": "id", "identifierValue": str(MOTHER)},
                json={
                    "programId": 973,
                    "slabAction": "UPGRADE",
                    "toSlabName": "Gold",
                    "manualSlabActionValidity": "AS_PER_TIER_STRATEGY",
                },
                timeout=0.1,
            )
        await lab.switch(adjust={"reset": None, "applied_then_timeout": None, "slow_body": {"ms": 5, "pieces": 3}})
        renewed = await lab.adjust(slabAction="RENEWAL")

    assert renewed.json()["sideEffects"][0]["upgradedSlabName"] == "Gold"


def test_serving_ends_cleanly_at_an_interrupt() -> None:
    """`serve` says where it listens, answers there, and ends soon after an interrupt, even while a call is held."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    start = "from tiersync.sandbox.app import serve; from tiersync.sandbox.settings import SandboxSettings as S; "
    command = [sys.executable, "-c", f"{start}serve(S(port={port}))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=50)) as client:
            answer = client.put("/sandbox/faults", json={"all": {"timeout_before_applying": {"then": "never"}}})
            with pytest.raises(httpx.ReadTimeout):
                client.get("/v3/webHooks", headers=login(SandboxSettings()), timeout=0.1)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=15)

    assert said.decode().strip() == f"The sandbox listens on http://127.0.0.1:{port}"
    assert answer.status_code == 200
    assert b"Traceback" not in complaint


async def test_overlap_on_a_real_server() -> None:
    """Of calls for one customer at once only one is let through."""
    async with on_a_port() as lab:
        await lab.switch(adjust={"latency": {"ms": 100}})
        answers = await asyncio.gather(*(lab.adjust(slabAction="RENEWAL") for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [200, 521, 521, 521]


async def test_events_reach_a_real_receiver() -> None:
    """The real emitter delivers over the network, repeats a refused connection, and sends the static header."""
    received: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        received.append(head + await reader.readexactly(int(length.split(b":")[1])))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings: dict[str, Any] = {"webhook_url": f"http://127.0.0.1:{port}/hook", "webhook_secret": "s3"}
    async with on_a_port(**settings, retry_base_ms=20) as lab:
        await lab.decide("Gold")
        await asyncio.sleep(0.05)
        server = await asyncio.start_server(take, "127.0.0.1", port)
        await lab.settled()
        (delivery,) = (await lab.deliveries())["deliveries"]
        server.close()
        await server.wait_closed()

    assert delivery["state"] == "delivered"
    assert delivery["attempts"][0]["error"] == "connection failed"
    assert b"authorization: s3" in received[0].lower()
    assert str(PRIMARY).encode() in received[0]
