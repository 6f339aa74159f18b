"""When work runs. The engine is a hint: lose its queue and the sweep over the tables rebuilds it."""

from tiersync.engine.inprocess import WorkQueue

__all__ = ["WorkQueue"]
