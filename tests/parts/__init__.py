"""Real parts for tests: processes and files that behave as in the field."""
