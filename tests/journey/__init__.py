"""The real service beside the real sandbox, over loopback HTTP: what an operator would see."""
