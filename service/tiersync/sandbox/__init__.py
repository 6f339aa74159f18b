"""The sandbox: a Capillary-shaped API on loopback that emits the tier webhooks, with every quirk as a switch.

A call goes

    wire ─ front ─ routes_* ─ world ─ facts ─ events ─ emitter ─ your webhook
             │ faults          │ loyalty.groups
             calls             tiers, adjusting

`app` wires it; `desk` is what one running sandbox holds; `switches` says what can be switched; `pages` and
`docs/sandbox.md` say it to newcomers. It never imports the sync half: they meet only over HTTP.
"""
