"""The service: it takes an order for a digest, says how far it is, and tells as it happens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from orchestrator import AsyncClient, AsyncHandle
from orchestrator.model.errors import NoSuchFeature
from pydantic import BaseModel, Field

from digests import celery  # noqa: F401  # the app whose tasks are called
from digests.features import digest

Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


class Order(BaseModel):
    files: list[Name] = Field(min_length=1, max_length=100)
    most: int = 10


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client, for the event loop of this process."""
    async with AsyncClient() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def find(request: Request, digest_id: str) -> AsyncHandle:
    """The feature of a digest."""
    client: AsyncClient = request.app.state.client
    try:
        return await client.feature(digest_id)
    except NoSuchFeature as error:
        raise HTTPException(404, str(error)) from None


Found = Annotated[AsyncHandle, Depends(find)]
LastEvent = Annotated[str, Header(pattern=r"^(-|\d+-\d+)$")]


@app.post("/digests", status_code=202)
async def order(request: Request, wanted: Order) -> dict[str, str]:
    handle = await request.app.state.client.enqueue(digest(wanted.files, wanted.most))
    return {"id": handle.id}


@app.get("/digests/{digest_id}")
async def progress(handle: Found) -> dict[str, Any]:
    found = await handle.progress()
    words = await handle.result("digest") if found.status == "completed" else None
    return {"status": found.status, "done": found.completed, "of": found.total, "words": words}


@app.get("/digests/{digest_id}/events")
async def events(handle: Found, last_event_id: LastEvent = "-") -> StreamingResponse:
    """Server-sent events, until nothing more happens. A browser that comes back misses none."""

    async def lines() -> AsyncIterator[str]:
        async for event in handle.follow(after=last_event_id):
            yield f"id: {event.id}\nevent: {event.event}\ndata: {event.model_dump_json()}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


@app.delete("/digests/{digest_id}", status_code=204)
async def cancel(handle: Found) -> None:
    await handle.cancel("the client asked for it")
