"""Guests that boot in every way, and what they say of themselves."""
