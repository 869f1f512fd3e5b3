"""Images: what their headers say, and the tools that make, copy and empty them."""
