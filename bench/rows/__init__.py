"""One module per row of the benchmark; each measures one promise."""
