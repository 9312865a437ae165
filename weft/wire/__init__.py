"""The contract between operators and guests: pure values, no I/O."""
