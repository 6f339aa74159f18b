"""`python -m tiersync`."""

from tiersync.cli import main

if __name__ == "__main__":
    main()
