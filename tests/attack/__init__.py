"""Hostile input: what a publisher, guest, local user or text may try, as tables, with the number of probes counted."""
