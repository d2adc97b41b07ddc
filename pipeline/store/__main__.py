"""``python -m pipeline.store``: beside the store, which must not import what looks after it."""

import sys

from pipeline.housekeeping import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
