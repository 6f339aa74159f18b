"""What each part promises to its neighbours, on real databases and real HTTP."""
