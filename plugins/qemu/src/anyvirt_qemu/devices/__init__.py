"""From each kind of device to QEMU's options for it."""
