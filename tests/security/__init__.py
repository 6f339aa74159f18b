"""What an attacker would try, and what must come of it."""
