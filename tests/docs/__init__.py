"""The documentation, tried: commands, examples, lists and links."""
