"""Every fault that users of mounts really meet, injected into real mounts and real processes, one test per row."""
