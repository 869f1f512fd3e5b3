"""Consoles of guests: who writes, who reads, what is kept."""
