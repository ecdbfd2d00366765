"""The `condensa` command: parses, calls one function of the flow, draws what comes back. Loads no torch by itself."""

if __name__ != "condensa_cli":
    raise ImportError(
        f"this package is installed as 'condensa_cli', but was imported as {__name__!r}: a top-level 'cli' collides "
        "with other distributions. Install with 'pip install -e .' and import condensa_cli"
    )
