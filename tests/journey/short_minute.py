"""`tiersync` whose minute is a few seconds long, so that a test of the limit per minute does not take minutes."""

from tiersync import cli
from tiersync.capillary import gate

MINUTE_S = 4.0

if __name__ == "__main__":
    gate.MINUTE_S = MINUTE_S
    cli.main()
