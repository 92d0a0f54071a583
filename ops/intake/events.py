"""Events as Amplitude sends them."""

from starlette.responses import Response

from ops.intake.endpoint import Asked, Intake, partition_key
from ops.intake.errors import answer


async def amplitude(intake: Intake, asked: Asked) -> Response:
    """Amplitude's webhook and event stream: whatever comes is taken as it is; the job decides what it is."""
    await intake.put(asked.header, asked.body, partition_key(asked))
    return answer({"request_id": asked.header.request_id})
