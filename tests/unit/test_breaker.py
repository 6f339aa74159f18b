"""The breaker: a run of failures opens it, a probe closes it, and no call is made in between."""

from dataclasses import replace

import pytest

from tiersync.capillary import Breaker, Breaks, State
from tiersync.capillary.breaker import AWAY
from tiersync.capillary.codes import CODES, Reaction

BREAKS = Breaks(failures_max=3, pause_s=5, pause_s_max=12, probe_s_max=10)


def failed(breaker: Breaker, times: int = 1, now: float = 100.0, *, probe: bool = False) -> Breaker:
    """Let calls fail one after the other."""
    for _ in range(times):
        breaker = breaker.failed(now, "no_answer", probe=probe)
    return breaker


OPENED = failed(Breaker(BREAKS), 3)


def test_only_a_run_of_failures_opens_it() -> None:
    """So many failures in a row open it; an answer in between begins the count anew."""
    nearly = failed(Breaker(BREAKS), 2)

    assert (State.CLOSED, State.OPEN) == (nearly.state, failed(nearly).state)
    assert State.CLOSED is failed(nearly.answered(probe=False), 2).state


def test_without_a_limit_it_stays_closed() -> None:
    """0 failures switch the breaker off."""
    assert failed(Breaker(replace(BREAKS, failures_max=0)), 1000).admits(100, reading=False)


def test_while_it_is_open_nothing_goes_through() -> None:
    """No call is made during the pause; after it a reading may, a change may not."""
    admitted = {
        (now, reading): OPENED.admits(now, reading=reading) for now in (104.9, 105) for reading in (True, False)
    }

    assert {(104.9, True): False, (104.9, False): False, (105, True): True, (105, False): False} == admitted


def test_one_call_probes_at_a_time() -> None:
    """While a probe is out nobody else goes; one that is never heard of again is given up."""
    probing = OPENED.probed(105)

    assert State.HALF_OPEN is probing.state
    assert [False, True] == [probing.admits(now, reading=True) for now in (114.9, 115)]


def test_an_answer_to_the_probe_closes_it_for_good() -> None:
    """After an answer everything is as at the beginning, whatever the pauses had grown to."""
    assert Breaker(BREAKS) == failed(OPENED.probed(105), probe=True).probed(120).answered(probe=True)


def test_each_failed_probe_makes_the_pause_longer() -> None:
    """Pauses double up to the longest that is set."""
    pauses, breaker = [OPENED.until - 100], OPENED
    for _ in range(3):
        breaker = failed(breaker.probed(200), now=200, probe=True)
        pauses.append(breaker.until - 200)

    assert [5, 10, 12, 12] == pauses


def test_what_was_sent_before_says_nothing_new() -> None:
    """Calls that were out when it opened neither close it nor lengthen the pause."""
    assert OPENED == failed(OPENED, 5, now=104).answered(probe=False)


@pytest.mark.parametrize("number", CODES)
def test_no_verdict_about_one_customer_counts(number: int) -> None:
    """A refusal, a locked customer and a rate limit say that Capillary is there."""
    code = CODES[number]
    one_customers = code.reaction not in {Reaction.SOON, Reaction.LATER} or code.reason == "customer_locked"

    assert not (code.reason in AWAY and (one_customers or code.reason == "rate_limited"))
