"""The CRM.COM face of the sandbox: `/crm`, on the same loyalty core.

    routes_business, routes_contacts, routes_purchases    what can be asked
    models, offers          what may be sent          business   what there is, and the core that knows the rest
    rules                   an offer as a rule        answers    what is answered
    platform                all the businesses        example    the spa

`docs/sandbox-crm.md` walks through it.
"""
