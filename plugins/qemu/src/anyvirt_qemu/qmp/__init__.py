"""Conversations with QEMU: commands, answers, events, its journal and its agent."""
