"""A stand-in for CubeFS's FUSE client 3.5.3: same keys, texts, exits, delays and signals, over a directory on disk."""
