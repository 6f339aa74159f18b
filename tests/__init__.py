"""The tests of tiersync."""
