"""Capillary, as far as a sync needs it: the calls (`client`) and the meaning of their answers (`outcome`, `codes`).

The only place, with the sandbox, where a tier is called a slab.
"""

from tiersync.capillary.auth import Basic, OAuth
from tiersync.capillary.breaker import Breaker, Breaks, State
from tiersync.capillary.by_httpx import HttpxTransport
from tiersync.capillary.by_pyreqwest import PyreqwestTransport
from tiersync.capillary.client import Capillary, Limits, NotTried
from tiersync.capillary.gate import Budget, Gate, OneAtATime
from tiersync.capillary.outcome import NotPrimary
from tiersync.capillary.transport import Line, Transport

__all__ = [
    "Basic",
    "Breaker",
    "Breaks",
    "Budget",
    "Capillary",
    "Gate",
    "HttpxTransport",
    "Limits",
    "Line",
    "NotPrimary",
    "NotTried",
    "OAuth",
    "OneAtATime",
    "PyreqwestTransport",
    "State",
    "Transport",
]
