"""What this host has for a start, and what stands in its way; nothing here changes anything."""
