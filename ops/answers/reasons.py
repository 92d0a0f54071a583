"""What each reason and each repair means, in words for the people who answer customers.

docs/data.md shows the same two tables, word for word; a test holds them together.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from udfs.model import Reason, Repair


class Meaning(NamedTuple):
    """What is wrong with a record, how that usually comes about, and what support does."""

    meaning: str
    cause: str
    remedy: str


ADD: Final = "amplitude-bridge projects add PROJECT_ID NOTIFLY_PROJECT --linked-at UPLOAD"
REGISTER: Final = f"`{ADD}`, then `dead-letters replay`; its `--dry-run` names UPLOAD"
"""A link counts from the upload on: without that time, what waits would come back as before_link."""

REASONS: Final[Mapping[str, Meaning]] = {
    Reason.EMPTY: Meaning(
        "no bytes, nothing but what may stand between values (blanks, commas, NULs, byte order marks …), or an "
        "envelope that holds nothing",
        "a sender's test",
        "find the sender by shard and time; nothing is lost",
    ),
    Reason.TOO_LARGE: Meaning(
        "more than 10 MiB, which no Kinesis record can have: a part of an envelope",
        "a compressed array, or one gigantic event",
        "ask the sender for one event per line, or for smaller events",
    ),
    Reason.INVALID_UTF8: Meaning(
        "not UTF-8 text",
        "another encoding such as UTF-16, or damaged bytes",
        "`detail` has the first wrong byte, or says UTF-16 or UTF-32; ask the sender for UTF-8 JSON",
    ),
    Reason.INVALID_JSON: Meaning(
        "not JSON; when it came in an envelope, the values that could be read were taken",
        "cut off on the way, written by hand, encoded twice, or the last line of an envelope that is cut off",
        "`detail` has the position, or says base64, hexadecimal digits or percent-encoding; ask the sender to "
        "send the whole record again, encoded once",
    ),
    Reason.TOO_DEEP: Meaning(
        "objects and arrays in each other, more than 64 levels deep; Amplitude itself takes 40",
        "a broken or hostile sender",
        "look at the payload; ask for a flatter event",
    ),
    Reason.NOT_AN_OBJECT: Meaning(
        "JSON, but no object: a bare value, alone or in an array",
        "a sender's test, or an object that was encoded twice",
        "ask for one JSON object per record; `detail` says if it is there as a string or base64",
    ),
    Reason.DUPLICATE_KEY: Meaning(
        "`app`, `event_type`, `uuid`, `user_id`, or `cohort_id`, `in_cohort`, `computed_time`, `users` occurs "
        "twice at the top level, or `event_name` without `event_type`, or `compute_time` without "
        "`computed_time`, does; without "
        "a `uuid` also `device_id`, `$insert_id`, `event_id` or "
        "`client_event_time`",
        "a hand-made record",
        "nothing tells which one counts: ask the sender",
    ),
    Reason.FOREIGN: Meaning(
        "a JSON object that is no event, no user update and no cohort message",
        "another system writes to this stream",
        "find the sender by shard and time and have it write elsewhere; if that is Amplitude, report the payload",
    ),
    Reason.MERGED_IDS: Meaning(
        "Amplitude's row of two users that it has merged: it names no project, and is no event",
        "the file of merged ids of an S3 or warehouse export was put on this stream",
        "have the sender leave that file out; profiles go by `user_id` and need no merges",
    ),
    Reason.WAREHOUSE_ROW: Meaning(
        "a row of Amplitude's events as a warehouse such as Snowflake has them: its columns are named in capitals "
        "(`EVENT_TYPE`, `APP`), which Amplitude never sends to a stream",
        "an export of a warehouse was put on this stream",
        "have the sender name the fields as Amplitude does (`event_type`, `app`), or put Amplitude's own export "
        "on the stream",
    ),
    Reason.API_REQUEST: Meaning(
        "the body of a request to one of Amplitude's APIs (HTTP V2, Batch, Identify, User Mapping): it names no "
        "project, and Amplitude has not seen it",
        "a sender that should post to Amplitude writes to this stream",
        "have the sender post it to Amplitude, which then sends the events here; the payload may hold an API key: "
        "pass it on to nobody",
    ),
    Reason.DELETION: Meaning(
        "a request to Amplitude to delete users, or the state of such a request: it deletes nobody here",
        "a sender forwards what it exchanges with Amplitude's User Privacy API",
        "have these users deleted where their data is kept, and have the sender leave such requests out",
    ),
    Reason.APP_MISSING: Meaning(
        "an event without `app`, or with null",
        "not sent by Amplitude's event destination",
        "check the destination's kind",
    ),
    Reason.APP_INVALID: Meaning(
        "`app` is neither an integer nor digits, from 0 to 2⁶³-1",
        "a hand-made record",
        "the sender puts Amplitude's project id there",
    ),
    Reason.EVENT_TYPE_MISSING: Meaning(
        "`app` is there, `event_type` is not, or is null",
        "a message that is no event",
        "check the destination's kind",
    ),
    Reason.EVENT_TYPE_INVALID: Meaning(
        "`event_type` is no text, or empty",
        "a hand-made record",
        "the sender gives the event a name",
    ),
    Reason.COHORT_INVALID: Meaning(
        "a cohort message whose `cohort_id`, `in_cohort`, `computed_time` or `users` is not as documented",
        "not sent by Amplitude's cohort destination",
        "`detail` names the field; find the sender by shard and time",
    ),
    Reason.GZIP_INVALID: Meaning(
        "a gzip that is cut off, damaged, or has other bytes behind its end; what could be read was taken",
        "an upload that broke off",
        "ask the sender for the whole file again: copies of what was taken are removed",
    ),
    Reason.ZLIB_INVALID: Meaning(
        "zlib or bare deflate that is cut off, damaged, or has other bytes behind its end; what could be read "
        "was taken",
        "an upload that broke off",
        "ask the sender for the whole file again: copies of what was taken are removed",
    ),
    Reason.ZIP_INVALID: Meaning(
        "a zip or tar, or a file in it, that cannot be read; what could be read was taken",
        "an upload that broke off",
        "ask the sender for the whole file again: copies of what was taken are removed",
    ),
    Reason.KPL_INVALID: Meaning(
        "looks like an aggregate of the Kinesis Producer Library, but its checksum or its form is wrong, or it "
        "has other bytes behind its end",
        "damaged on the way, or bytes that begin the same by chance",
        "ask the sender to send it again",
    ),
    Reason.COMPRESSION_UNKNOWN: Meaning(
        "packed in a way that is not read here: zstd, bzip2, xz, LZ4, Snappy, 7z, RAR and the like, zlib with a "
        "preset dictionary, a file of a zip with a password or of another method than deflate, or a Parquet, Avro "
        "or ORC file",
        "a sender, or something on the way, that compresses; an export of a warehouse",
        "`detail` names what it is; ask for gzip, zlib, a zip by deflate without a password, or no compression: "
        "the same bytes again help nobody",
    ),
    Reason.ENVELOPE_TOO_LARGE: Meaning(
        "opens into more than 64 MiB, 100,000 records, or 200 times its compressed size (1 MiB is always taken), "
        "or into hundreds of thousands of empty arrays, members or fields; "
        "what came before the limit was taken",
        "a whole archive in one record, or a decompression bomb",
        "split it and send the parts: copies of what was taken are removed",
    ),
    Reason.ENVELOPE_TOO_DEEP: Meaning(
        "more than 4 envelopes (gzip, zlib, zip, tar, KPL) in each other",
        "compressed over and over, or a decompression bomb",
        "ask the sender to compress once",
    ),
    Reason.INTAKE_MAC_INVALID: Meaning(
        "begins like an envelope of the intake, and its MAC does not prove that the intake wrote it; nothing of "
        "it was taken",
        "job and intake have other keys in `intake.mac_keys_file`, or somebody else writes to the stream",
        "`detail` says which; give both the same keys, then put what waits on the stream again with "
        "`amplitude-bridge dead-letters replay`; who made one up is found by shard and time",
    ),
    Reason.APP_MISMATCH: Meaning(
        "came with an access key of one project, and its `app` is another one",
        "the sender uses the key of another project, or sends the data of several with one key",
        "the sender uses a key of the project that `app` names, or leaves `app` out",
    ),
    Reason.SCOPE_MISSING: Meaning(
        "came with an access key without the scope for it, such as a cohort message with a key for `events`",
        "the sender uses the key of another purpose, or sends what it was not given the key for",
        "the sender uses a key with the scope that `detail` names (`amplitude-bridge keys create`); "
        "`amplitude-bridge dead-letters replay --anyway` takes what waits, if the project's owner wants it",
    ),
    Reason.INTERNAL_ERROR: Meaning(
        "a rule raised an error",
        "a bug of this product",
        "report `detail` and the payload; the job goes on",
    ),
    Reason.UNKNOWN_PROJECT: Meaning(
        "no project has registered this `app`",
        "not registered yet, or a wrong id",
        REGISTER,
    ),
    Reason.UNATTRIBUTED: Meaning(
        "a user update without `app`: nothing tells its owner",
        "user updates of a kind that Amplitude sends without its project id",
        'find the sender by shard and time; if the updates are not wanted, turn off "Send Users" in Amplitude',
    ),
    Reason.UNKNOWN_COHORT: Meaning(
        "a message of a cohort that no project has registered: the message itself names no project",
        "the customer has connected a cohort that is not registered yet",
        "register it with `amplitude-bridge cohorts add`, then put what waits here on the stream again with "
        "`amplitude-bridge dead-letters replay`",
    ),
    Reason.BEFORE_LINK: Meaning(
        "Amplitude uploaded it before the project was linked; the payload is not kept",
        "events from before the customer connected, delivered late",
        "nothing: only what is uploaded from the link on belongs to the Notifly project",
    ),
    Reason.UNLINKED: Meaning(
        "Amplitude uploaded it while the project was no longer linked; the payload is not kept",
        "disconnected in Notifly, and Amplitude goes on sending",
        "the customer turns the destination off in Amplitude, or connects again",
    ),
    Reason.TEST_RECORD: Meaning(
        "Amplitude's test of the connection",
        "somebody pressed the test button in Amplitude",
        "nothing: the stream is reachable",
    ),
    Reason.OWN_EVENT: Meaning(
        "its name begins with `[Notifly] `: Notifly itself has sent it to Amplitude",
        "the customer's destination sends all events, ours among them",
        "nothing: taken in, it would go round in circles; the customer may leave it out of the destination",
    ),
    Reason.APPBOY_EVENT: Meaning(
        "its name begins with `[Appboy] `: Braze has sent it to Amplitude",
        "the customer also uses Braze, and its destination sends all events",
        "nothing: it is no event of the customer's; the customer may leave it out of the destination",
    ),
    Reason.FILTERED: Meaning(
        "an event that a filter of its project keeps out: it is counted, and neither stored nor metered",
        "the project's event filters, which `projects filters` shows",
        "nothing: it is as the project wants it; what stayed out does not come back when the filter goes",
    ),
}
"""By reason; also asked with the code of a reason that another version of the job has written."""

REPAIRS: Final[Mapping[str, str]] = {
    Repair.BOM_REMOVED: "A byte order mark before the JSON was left out.",
    Repair.NAN_TO_NULL: "NaN or Infinity, which JSON does not know, became null.",
    Repair.SURROGATE_REPLACED: "Half an escaped character, such as a cut emoji, became U+FFFD (�).",
    Repair.NUL_REMOVED: r"NUL characters, escaped as `\u0000`, were left out of names and values.",
    Repair.DUPLICATE_FIELD: "A field occurred twice in an object; the last one counts.",
    Repair.FIELD_RENAMED: "`event_name` was read as `event_type`, or `created_at` as `event_time`.",
    Repair.SENTINEL_ID: 'A `uuid`, `user_id`, `device_id` or `$insert_id` such as "null", "unknown" or "0" '
    "counts as none; the value sent is kept in `extra`, of a cohort's user in `entry`.",
    Repair.ID_FROM_NUMBER: "An integer for a `uuid`, `user_id`, `device_id` or `$insert_id` became the text of "
    "its digits.",
    Repair.ID_TOO_LONG: "A `user_id` of more than 4,096 bytes in a cohort names nobody: the user is no member, "
    "and is kept in `entry`.",
    Repair.INTEGER_BEYOND_INT64: "An integer beyond 64 bits is kept in `extra` as written; its column is null.",
    Repair.FLOAT_NOT_FINITE: "A number too large for a double is kept in `extra` as written; its column is null.",
    Repair.TIMESTAMP_UNREADABLE: "A value that is no timestamp is kept in `extra`; its column is null. The "
    "arrival counts in place of a `server_upload_time`.",
    Repair.TIMESTAMP_IMPLAUSIBLE: "A `server_upload_time` before 2012 or more than a day after arrival is kept in "
    "`extra`; the arrival counts instead. Such a `computed_time` of a cohort counts as the arrival if users "
    "leave, and as a day before it if they enter.",
    Repair.CONTAINER_EXPECTED: "A value that should be an object is kept in `extra`; its column is `{}`.",
    Repair.WRONG_TYPE: "A value of another type than its column is kept in `extra`, of a cohort's user in `entry`"
    "; its column is null.",
    Repair.FIELD_RULE: "A field rule of the project dropped what stood at this path, or put its SHA-256 there; "
    "a blank in the path is written `%20`.",
}
"""By repair: what was mended in a record that is accepted all the same."""
