"""When traces are made, and when they are not."""

import subprocess
import sys

import pytest

from tiersync.errors import SettingsError
from tiersync.telemetry import Traces, configure_logging, traces
from tiersync.telemetry.tracing import collector

HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, HERE),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{HERE}/t", "OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, f"{HERE}/t"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, HERE),
    ],
    ids=str,
)
def test_the_standard_variables_say_where_traces_go(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], where: str | None
) -> None:
    """An endpoint turns them on, for traces or for all; the standard switches turn them off."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert where == collector()


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and a value that works."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", HERE)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL: .*=http/protobuf$"):
        configure_logging("info", "json")


async def test_without_a_collector_nothing_is_made() -> None:
    """Each span is the same nothing: no object is made for a delivery, a turn or an adjustment."""

    def never() -> dict[str, int]:
        raise AssertionError("nobody reads the ids")

    async with traces("1", int) as off:
        made = {
            off.delivery("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0.1),
            off.commit(),
            off.turn(None, first=True, ids=never),
            off.adjustment(None, first=True, ids=never),
        }
        off.ended(never)

    assert type(off) is Traces
    assert 1 == len(made)


def test_without_a_collector_its_libraries_are_not_loaded() -> None:
    """The SDK and the exporter cost memory and start-up time: only who uses them pays."""
    code = "import sys, tiersync.app; print([name for name in sys.modules if 'opentelemetry.sdk' in name])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
