"""Capillary is away for a while and comes back: what was received meanwhile is carried out then."""

from pathlib import Path

from starlette.applications import Starlette

from tests.journey.kit import FAST, LOGIN, ORG, PROGRAM, SECRET, TOKEN, TIERS, Town, free_port, listening, serving, town
