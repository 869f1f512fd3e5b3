"""``python -m guest``: build the guest where it is missing and print where it lies, as JSON."""

from __future__ import annotations

import json
import sys

from guest.builder import GuestError, build


def main() -> int:
    """Build, or say in one line why not."""
    try:
        guest = build(progress=lambda line: print(line, file=sys.stderr))
    except GuestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({name: str(value) for name, value in guest._asdict().items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
