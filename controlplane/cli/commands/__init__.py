"""The commands of ``weft``: each module has one, named ``command``, and is imported when it is asked for."""
