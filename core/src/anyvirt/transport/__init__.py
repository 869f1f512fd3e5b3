"""Ways to reach a host or a peer: programs, files, sockets, streams."""
