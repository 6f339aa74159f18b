"""Ports for the servers that a test starts."""

from tiersync.demo.processes import free_ports


def free_port() -> int:
    """Find a loopback port that nobody holds, and that no outgoing connection is lent meanwhile."""
    [port] = free_ports(1)
    return port
