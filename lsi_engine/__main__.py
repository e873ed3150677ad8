"""``python -m lsi_engine …`` is ``lsi …``."""

from lsi_engine.cli import main

main()
