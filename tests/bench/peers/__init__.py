"""The same job on what else one would pick. Each is written as its own documentation would have it."""
