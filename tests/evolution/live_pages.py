"""Live pages as the real application sees them, and what workers announce."""

from __future__ import annotations

import json

from asgiref.testing import ApplicationCommunicator

from e2l_site.routing import websocket_application


class Page(ApplicationCommunicator):
    """A WebSocket to the real application, as a browser opens it.

    Channels has such a helper, which imports the server daphne; we serve with another one.
    """

    def __init__(self, pk: int, cookie: str, *, kind: str = "experiments", **headers: str) -> None:
        values = {"host": "localhost:8000", "origin": "http://localhost:8000", "cookie": cookie}
        values.update(headers)
        scope = {
            "type": "websocket",
            "path": f"/ws/{kind}/{pk}/",
            "query_string": b"",
            "headers": [(key.encode(), value.encode()) for key, value in values.items() if value],
            "subprotocols": [],
        }
        super().__init__(websocket_application, scope)

    async def connect(self) -> bool:
        """Return whether the connection was accepted."""
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(timeout=5))["type"] == "websocket.accept"

    async def send_json(self, message: dict) -> None:
        await self.send_input({"type": "websocket.receive", "text": json.dumps(message)})

    async def receive_json(self) -> dict:
        output = await self.receive_output(timeout=5)
        assert output["type"] == "websocket.send"
        return json.loads(output["text"])

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=5)


async def say_hello(page: Page, cursors: dict | None = None) -> list[dict]:
    """Say hello and return all answers up to "caught-up"."""
    await page.send_json({"type": "hello", "cursors": cursors or {}})
    answers = []
    while not answers or answers[-1]["type"] != "caught-up":
        answers.append(await page.receive_json())
    return answers


def rows_of(answers: list[dict]) -> list[tuple[int, int]]:
    return [
        (row["run"], row["generation"])
        for answer in answers
        if answer["type"] == "generations"
        for row in answer["data"]
    ]


def message(run_id: int, generation: int, fitness: float = -1.0) -> dict:
    row = {
        "run": run_id,
        "generation": generation,
        "fitness": fitness,
        "is_improvement": False,
        "n_evaluations": 4,
        "n_cached": 0,
    }
    return {"type": "experiment.generations", "data": [row]}
