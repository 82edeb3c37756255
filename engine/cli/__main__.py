"""`python -m engine.cli`: how the supervisor starts its workers."""

from engine.cli import main

main()
