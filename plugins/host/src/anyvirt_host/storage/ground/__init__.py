"""Folders of images: what they need of the host that they are on, here, far away, and where storage may hang."""
