"""Kinds of pools: one file each, found by the pool's type, and what several of them share."""
