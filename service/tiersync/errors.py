"""The errors of tiersync: the family tree first.

    TiersyncError
    ├── SettingsError        a setting is missing or wrong; the message names it and shows an example
    ├── StoreError           the store cannot do what was asked
    │   ├── StoreUnavailable not writable right now (disk full, locked, gone): answer "later", lose nothing
    │   ├── StoreBusy        another server holds this SQLite file
    │   └── SchemaOutdated   the schema is not the one this version needs; run `tiersync migrate`
    └── LoyaltyError         the loyalty core refuses; carries the documented code where there is one

A class exists only because somebody catches it differently. An expected failure (a refused adjustment, a body that
cannot be read) is a value, not an exception: see `retry.Outcome` and `webhook.Reading`.
"""


class TiersyncError(Exception):
    """Anything that tiersync itself raises."""


class SettingsError(TiersyncError):
    """A setting is missing or wrong."""


class StoreError(TiersyncError):
    """The store cannot do what was asked."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state of the world, as in httpx's family
    """The store cannot be written right now; the caller must answer "later"."""


class StoreBusy(StoreError):  # noqa: N818
    """Another server holds this SQLite file."""


class SchemaOutdated(StoreError):  # noqa: N818
    """The schema is not the one this version needs."""


class LoyaltyError(TiersyncError):
    """The loyalty core refuses.

    `code` is the documented Capillary code where one exists, else 0. `reason` is a word of ours where the pages know
    that something is refused and publish no code for it.
    """

    def __init__(self, message: str, code: int = 0, reason: str = "") -> None:
        """Keep the documented `code`, or our `reason`, beside the `message`."""
        super().__init__(message)
        self.code = code
        self.reason = reason
