"""`python -m condensa_cli`."""

from .start import main

main()
