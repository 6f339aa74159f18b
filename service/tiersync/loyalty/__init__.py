"""Pure. The loyalty core: what a programme knows, without a clock, a network or dice.

Facts come in; rules turn facts into value; value sits in dated lots; ladders read the history; time is an input.

    engine       five verbs (submit, preview, spend, reverse, run), one path, one log
      events     the immutable facts             setup       what is defined before the first event
      rules      trigger, condition, outcome     conditions, expressions   what a rule may ask
      resolvers  who wins                        awarding, returning       from an event to entries, and back
      ledger     lots, entries, balances         accounts    units, policies, expiry
      ladders    levels, metrics, reviews        standings   who stands where
      programmes gates and enrolments            falling_due what time does by itself
    capillary, group_redemption, sessionm, crm   three vocabularies: they rename and never decide
    settlement, lottery                          reports and draws over the ledger
    groups       people, user groups and their members
"""
