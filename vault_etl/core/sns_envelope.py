"""The envelope that SNS puts around a message, where a queue is subscribed without raw delivery."""

from __future__ import annotations

from collections.abc import Mapping


def message_in_envelope(fields: Mapping[str, object]) -> bytes | None:
    """The message in a notification of SNS, as UTF-8; None if these are the fields of no envelope.

    It is never longer than the envelope: each of JSON's escapes is at least as long as what it
    stands for. A lone surrogate in it stays one, for the parser to reject as not UTF-8.

    What else an envelope holds (MessageId, Timestamp, Signature, …) is for SNS to know: whoever may
    send to the queue could choose it, so no identity and no time is taken from it.
    """
    message = fields.get("Message")
    if fields.get("Type") != "Notification" or not isinstance(fields.get("TopicArn"), str):
        return None
    return message.encode("utf-8", "surrogatepass") if isinstance(message, str) else None
