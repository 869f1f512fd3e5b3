from __future__ import annotations

collect_ignore = ["acme"]  # its tests run in an environment of its own
