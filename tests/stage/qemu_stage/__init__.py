"""What labs and faults on QEMU share: a booted small guest, and a scene with an actor who is killed."""
