"""Least privilege on the broker: who may do what in NATS, written as keys, accounts and users."""
