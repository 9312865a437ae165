"""The documentation, and the module that writes its reference pages from the code."""
