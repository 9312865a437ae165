"""The benchmarks: what weft promises about speed and size, measured on this machine and printed beside the promise."""
