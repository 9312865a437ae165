"""Drivers: one small module per backend, and the seam that others implement."""

from agent.drivers.base import Driver, Failure, MountCommand, MountContext, PendingUploads, PrivateFile

__all__ = ["Driver", "Failure", "MountCommand", "MountContext", "PendingUploads", "PrivateFile"]
