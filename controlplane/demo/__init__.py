"""The demonstration: weft's whole story on one machine, each step verified from the outside."""
