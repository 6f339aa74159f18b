"""The loyalty core: its documented examples, its invariants, and what it refuses."""
