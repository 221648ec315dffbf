"""`python -m fastproxy` is `fastproxy`."""

import sys

from .cli import main

sys.exit(main())
