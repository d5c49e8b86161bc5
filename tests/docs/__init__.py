"""The documentation is built, and what it says is so."""
