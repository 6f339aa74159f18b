"""The pure files, one test file each, and the engine."""
