"""Driver for QEMU and KVM guests on this machine."""
