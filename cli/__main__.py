"""`python -m condensa_cli`."""

from .app import main

main()
