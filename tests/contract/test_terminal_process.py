"""What only a process of its own shows: output that cannot be written, Ctrl-C, an address that is taken."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import partial

import pytest

from tests.contract.terminal_kit import SETTINGS, fill

COMMAND = [sys.executable, "-m", "tiersync"]
END_S_MAX = 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Fill a store, and give the settings that name it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'tiersync.db'}"
    fill(url)
    given = {f"TIERSYNC_{name}": value for name, value in {**SETTINGS, "DATABASE_URL": url}.items()}
    return {**os.environ, **given, "TIERSYNC_DUPLICATES_DAYS": "0"}


@pytest.mark.parametrize(
    ("redirected", "complaint"), [("| true", ""), ("> /dev/full", "tiersync: No space left on device\n")]
)
def test_output_that_cannot_be_written_is_no_accident(
    environment: Mapping[str, str], redirected: str, complaint: str
) -> None:
    """A reader that has left is not complained of, a full disk is, and neither with a traceback."""
    line = f"set -o pipefail; {' '.join(COMMAND)} events list {redirected}"

    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=END_S_MAX, check=False
    )

    assert (1, complaint) == (done.returncode, done.stderr)


def test_ctrl_c_ends_a_command_that_waits_for_its_input(environment: Mapping[str, str]) -> None:
    """It ends at once, with 130 and no more words."""
    together = 200  # so many lines share a commit
    with subprocess.Popen(
        [*COMMAND, "import", "-"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever starts the tests in the background has them ignore SIGINT, and what is ignored stays ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
    ) as command:
        assert command.stdin is not None
        assert command.stderr is not None
        command.stdin.write(b"{\n" * together)
        command.stdin.flush()
        told = [command.stderr.readline() for _ in range(together)]

        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=END_S_MAX)

    assert told[-1].startswith(b"tiersync: line 200: not JSON: ")
    assert (130, b"", b"") == (command.returncode, out, err)


@pytest.mark.parametrize(("verb", "prefix"), [("serve", "TIERSYNC_"), ("sandbox", "TIERSYNC_SANDBOX_")])
def test_a_port_that_is_taken_is_named(environment: Mapping[str, str], verb: str, prefix: str) -> None:
    """Exit code 1, and which settings to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, verb, "--port", str(port)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=END_S_MAX,
            check=False,
        )

    *_, last = done.stderr.splitlines()
    assert 1 == done.returncode
    assert f"tiersync: cannot listen on 127.0.0.1, port {port}: Address already in use. " in last
    assert last.endswith(f"Set {prefix}HOST or {prefix}PORT, or --host or --port")
    assert "Traceback" not in done.stderr
