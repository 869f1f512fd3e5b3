"""Servers of storage on the loopback, as labs start them."""
