"""Mounts as the guest sees and makes them: the mount table, calls that may hang, what is allowed, how one goes."""
