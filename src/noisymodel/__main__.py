"""``python -m noisymodel``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from .cli import main
    except KeyboardInterrupt:
        sys.stderr.write("noisymodel: stopped\n")
        sys.exit(130)
    sys.exit(main())
