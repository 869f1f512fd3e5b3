"""Hypervisor management through one portable API; everything public is in ``anyvirt.api``."""
