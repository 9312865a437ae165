"""Real guests: Debian 12 with systemd as PID 1, weft installed as an operator would, everything done to them."""
