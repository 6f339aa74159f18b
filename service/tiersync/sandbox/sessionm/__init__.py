"""The SessionM face of the sandbox: `/sessionm`, on the same loyalty core.

    routes    what can be asked          models, economy   what may be sent
    club      who and what there is      building          an economy as the core's set-up
    answers   what is answered           example           the coffee club

`docs/sandbox-sessionm.md` walks through it.
"""
