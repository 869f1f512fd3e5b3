"""VMware ESXi and vCenter; so far the format of their definitions."""
