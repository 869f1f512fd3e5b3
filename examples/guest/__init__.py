"""A small Linux guest built from Debian packages: a kernel and a busybox initramfs, cached for the user."""

from __future__ import annotations

from guest.builder import Guest, GuestError, build, cache_root

__all__ = ["Guest", "GuestError", "build", "cache_root"]
