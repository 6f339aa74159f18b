"""tiersync keeps the secondary members of Capillary user groups in their primary's tier. This is the trip of a webhook.

    bytes ─ receiver ─ intake.admit ─ webhook.read ─ store.receive         one commit, then 200
                                                     event row + sync row moved forward
    engine wakes the key ─ worker ─ store.claim
                           worker ─ capillary.members ─ fanout.plan ─ store.plan     one commit a batch
                           worker ─ capillary.adjust (many, bounded) ─ retry.decide
                           worker ─ store.settle, store.release           one commit, for a group of hundreds

Each arrow goes right. The store is touched between steps, never inside one. The unit of work is the key
`(org, program, primary)`: its sync row says which tier should be, and who works on it. First try, retry, crash recovery
and replay all enter by `claim`; the tables are the truth and the engine only decides when.

Where to begin reading: `webhook` (what a body says), `intake` (what it means here), `fanout` (who is owed which call),
`retry` (when again) are pure and short. `store` has the verbs, `worker` the branches of delivery, `app` puts the parts
together, `cli` names the commands. `sandbox` stands in for Capillary on the `loyalty` core; `demo` plays both.
"""

__version__ = "0.1.0"
