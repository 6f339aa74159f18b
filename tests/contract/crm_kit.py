"""What the tests of the CRM.COM face stand on: a spa of its own, and short ways to its routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.contract.sandbox_kit import Lab, in_process

Json = dict[str, Any]


@dataclass
class Spa:
    """A business on a running sandbox."""

    lab: Lab
    path: str = "/crm/businesses/spa"

    async def get(self, path: str = "", **query: str) -> Json:
        """Read something of the business."""
        answer = await self.lab.client.get(self.path + path, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def post(self, path: str, **body: Any) -> httpx.Response:
        """Post to the business; the answer may be a refusal."""
        return await self.lab.client.post(self.path + path, json=body)

    async def put(self, path: str, **body: Any) -> httpx.Response:
        """Put something to the business; the answer may be a refusal."""
        return await self.lab.client.put(self.path + path, json=body)

    async def done(self, path: str, **body: Any) -> Json:
        """Post to the business what it must take."""
        answer = await self.post(path, **body)
        assert answer.status_code in {200, 201}, answer.text
        return dict(answer.json())

    async def open(self, scheme: str = "default", *offers: str) -> None:
        """Activate a scheme and offers."""
        for path in (f"/schemes/{scheme}", *(f"/offers/{offer}" for offer in offers)):
            await self.done(f"{path}/activate")

    async def offer(self, name: str, kind: str, award: Json, **more: Any) -> None:
        """Add an offer of the default scheme, and activate it."""
        await self.done("/offers", id=name, scheme_id="default", name=name, type=kind, award=award, **more)
        await self.done(f"/offers/{name}/activate")

    async def contacts(self, *names: str, **profile: Any) -> None:
        """Register contacts."""
        for name in names:
            await self.done("/contacts", id=name, **profile)

    async def buy(self, name: str, amount: str = "100.00", contact: str = "ann", **more: Any) -> Json:
        """Post a purchase."""
        sent = {"amount": amount} if "lines" not in more else {}
        return await self.done("/purchases", id=name, contact_id=contact, **sent, **more)

    async def paid(self, *names: str, **more: Any) -> list[Json]:
        """Post purchases of 100.00, and return what each awarded by offer."""
        return [awards(await self.buy(name, **more)) for name in names]

    async def commerce(self, contact: str = "ann") -> str:
        """Read a contact's commerce balance."""
        return str((await self.get(f"/contacts/{contact}/wallet"))["pockets"]["commerce"]["balance"])


def awards(answer: Json) -> dict[str, str]:
    """Return what an answer says was awarded, by offer."""
    return {row["offer_id"]: row["amount"] for row in answer["entries"] if row["kind"] == "earn"}


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return the status of a refusal and the field it names."""
    return answer.status_code, answer.json()["error"]["field"]


@asynccontextmanager
async def spa(**settings: Any) -> AsyncIterator[Spa]:
    """Run a sandbox with the ready example."""
    async with in_process(webhook_url=None, **settings) as lab:
        yield Spa(lab)
