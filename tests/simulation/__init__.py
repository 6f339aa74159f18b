"""Receiver, engine, worker and store on virtual time: histories drawn from a seed."""
