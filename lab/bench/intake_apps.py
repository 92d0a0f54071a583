"""ASGI applications beside the intake: one that only acknowledges, and a Kinesis that takes all within 10 ms."""

import asyncio
from typing import Any

_OK = b'{"ok":true}'
_PLACE = b'{"SequenceNumber":"1","ShardId":"shardId-000000000000"}'
_SUMMARY = (
    b'{"StreamDescriptionSummary":{"StreamName":"bench","StreamARN":"arn:aws:kinesis:x:1:stream/bench",'
    b'"StreamStatus":"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1,"OpenShardCount":4,'
    b'"EnhancedMonitoring":[]}}'
)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and say that all is well: the least that any intake costs."""
    if scope["type"] == "http":
        await _body(receive)
        await _answer(send, _OK)


async def kinesis(scope: Any, receive: Any, send: Any) -> None:
    """Answer PutRecords after 10 ms, and DescribeStreamSummary."""
    if scope["type"] == "http":
        records = (await _body(receive)).count(b'"PartitionKey"')
        if records:
            await asyncio.sleep(0.01)
        taken = b'{"FailedRecordCount":0,"Records":[%b]}' % b",".join([_PLACE] * records)
        await _answer(send, taken if records else _SUMMARY)


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(send: Any, content: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
