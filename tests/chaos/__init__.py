"""Seeded random faults against a whole fleet of real parts, and the rules that must hold whatever happens."""
