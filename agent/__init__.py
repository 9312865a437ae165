"""The guest: makes the mounts that the control plane asks for true, and keeps them so."""
