"""What a QEMU binary and this host can do, found out once and kept."""
