"""Text of VMX files, and what it means."""
