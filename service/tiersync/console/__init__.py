"""The operator's side of HTTP: health, metrics, and the API behind the operator token."""

from tiersync.console.routes import Console

__all__ = ["Console"]
