"""The only place where the parts meet, and the only one that names the clock, the dice and the network.

serve       the process: signals, a socket, the service on it
service     the service as an ASGI application: receiver, operator's routes, and the work behind them
store       the store alone
capillary   one org's API
clerk, reconciler   whoever works on stored jobs, and whoever compares groups with their primaries
"""

from tiersync.app.apis import capillary
from tiersync.app.household import clerk, policies, purging, reconciler
from tiersync.app.serving import serve
from tiersync.app.together import Role, service, store
from tiersync.clock import now

__all__ = ["Role", "capillary", "clerk", "now", "policies", "purging", "reconciler", "serve", "service", "store"]
