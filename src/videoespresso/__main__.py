"""`python -m videoespresso` is `videoespresso`."""

import sys

from videoespresso.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
