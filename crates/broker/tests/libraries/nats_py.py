"""nats.py's JetStream, key-value and object store. Says what it got, line by line, without what differs from run to run."""

import asyncio
import sys

import nats
from nats.errors import TimeoutError as NothingCame
from nats.js import api
from nats.js import errors as js_errors


def say(what, *results):
    print(f"{what}:", *results, flush=True)


async def attempt(what, awaitable):
    """Says what comes of it, or which error."""
    try:
        say(what, await awaitable)
    except Exception as error:  # Which one it is, is the result.
        say(what, type(error).__name__, getattr(error, "err_code", ""), getattr(error, "description", ""))


async def streams(js):
    info = await js.add_stream(name="EVENTS", subjects=["events.>"])
    say("stream", info.config.subjects, info.state.messages)
    for number in range(20):
        ack = await js.publish(f"events.{number % 4}", str(number).encode(), headers={"Number": str(number)})
        assert ack.seq == number + 1
    say("duplicate", [(await js.publish("events.x", b"x", headers={"Nats-Msg-Id": "one"})).duplicate for _ in range(2)])
    await attempt("wrong sequence", js.publish("events.1", b"", headers={"Nats-Expected-Last-Sequence": "3"}))
    message = await js.get_msg("EVENTS", seq=3)
    say("message", message.subject, message.data, message.headers)
    message = await js.get_last_msg("EVENTS", "events.3")
    say("last", message.seq, message.data)
    info = await js.stream_info("EVENTS", subjects_filter="events.*")
    say("subjects", sorted(info.state.subjects.items()))
    say("names", sorted(stream.config.name for stream in await js.streams_info()))
    await attempt("delete a message", js.delete_msg("EVENTS", 2))
    await attempt("purge", js.purge_stream("EVENTS", subject="events.2"))
    await attempt("no such stream", js.stream_info("NONE"))


async def consumers(js):
    pull = await js.pull_subscribe("events.1", durable="puller")
    messages = [message for _ in range(2) for message in await pull.fetch(2, timeout=5)]
    say("pulled", [(message.metadata.sequence.stream, message.metadata.num_pending) for message in messages])
    await messages[0].ack_sync()
    await messages[1].nak()
    await messages[2].term()
    await messages[3].ack()
    again = (await pull.fetch(1, timeout=5))[0]
    say("again", again.metadata.num_delivered, again.data)
    await again.ack_sync()
    info = await pull.consumer_info()
    say("consumer", info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq)
    push = await js.subscribe("events.3", queue="pusher", durable="pusher", manual_ack=True)
    for _ in range(3):
        message = await push.next_msg(timeout=5)
        say("pushed", message.subject, message.data)
        await message.ack()
    ordered = await js.subscribe("events.>", ordered_consumer=True)
    say("ordered", [(await ordered.next_msg(timeout=5)).metadata.sequence.stream for _ in range(8)])
    late = await js.pull_subscribe("events.0", durable="late", config=api.ConsumerConfig(ack_wait=0.3, max_ack_pending=1))
    for _ in range(2):
        say("late", [message.metadata.num_delivered for message in await late.fetch(1, timeout=5)])
    say("consumers", sorted(consumer.name for consumer in await js.consumers_info("EVENTS") if consumer.config.durable_name))
    await attempt("delete a consumer", js.delete_consumer("EVENTS", "late"))
    await attempt("no such consumer", js.consumer_info("EVENTS", "none"))
    await attempt("delete a stream", js.delete_stream("EVENTS"))


async def taken(watcher):
    """What a watcher has to say, up to its mark of being up to date."""
    entries = []
    while (entry := await watcher.updates(timeout=5)) is not None:
        entries.append((entry.key, entry.value, entry.revision, entry.operation, entry.delta))
    return entries


async def key_value(js):
    bucket = await js.create_key_value(bucket="settings", history=3)
    watcher = await bucket.watchall()
    say("empty", await taken(watcher))
    say("put", await bucket.put("color", b"red"), await bucket.put("size", b"10"))
    say("update", await bucket.update("color", b"blue", last=1))
    await attempt("stale update", bucket.update("color", b"green", last=1))
    await attempt("create what is there", bucket.create("color", b"pink"))
    say("create", await bucket.create("shape", b"round"))
    entry = await bucket.get("color")
    say("get", entry.value, entry.revision)
    say("get a revision", (await bucket.get("color", revision=1)).value)
    await attempt("get nothing", bucket.get("none"))
    say("keys", sorted(await bucket.keys()))
    say("history", [(entry.value, entry.revision) for entry in await bucket.history("color")])
    say("delete", await bucket.delete("size"), await bucket.purge("shape"))
    await attempt("get what is deleted", bucket.get("size"))
    say("create again", await bucket.create("size", b"11"))
    say("watched", [(await watcher.updates(timeout=5)).key for _ in range(7)])
    await watcher.stop()
    say("watch one", await taken(await bucket.watch("color")))
    status = await bucket.status()
    say("status", status.bucket, status.values, status.history, status.ttl)
    await bucket.purge_deletes(olderthan=-1)
    say("left", sorted(await bucket.keys()))
    say("delete the bucket", await js.delete_key_value("settings"))
    await attempt("no such bucket", js.key_value("settings"))


async def times_to_live(js):
    bucket = await js.create_key_value(bucket="short")
    say("for a second", await bucket.create("token", b"secret", msg_ttl=1), await bucket.put("stays", b"on"))
    watcher = await bucket.watchall()
    say("there", sorted(entry[0] for entry in await taken(watcher)))
    for _ in range(100):
        if await bucket.keys() == ["stays"]:
            break
        await asyncio.sleep(0.1)
    say("gone", await bucket.keys())
    await attempt("get what is gone", bucket.get("token"))
    say("purge for a second", await bucket.purge("stays", msg_ttl=1))
    for _ in range(100):
        if (await bucket.status()).values == 0:
            break
        await asyncio.sleep(0.1)
    say("nothing left", (await bucket.status()).values)
    aging = await js.create_key_value(bucket="aging", ttl=1)
    say("put", await aging.put("old", b"soon"))
    for _ in range(100):
        if (await aging.status()).values == 0:
            break
        await asyncio.sleep(0.1)
    await attempt("too old", aging.get("old"))


async def objects(js):
    store = await js.create_object_store("files")
    large = bytes(range(256)) * 1_500
    info = await store.put("large", large)
    say("object", info.name, info.size, info.chunks, info.digest)
    say("read", (await store.get("large")).data == large)
    await store.put("large", b"small now")
    read = await store.get("large")
    say("replaced", read.data, read.info.size)
    await store.put("other", b"1")
    say("objects", sorted(entry.name for entry in await store.list()))
    await store.update_meta("other", api.ObjectMeta(name="other", description="of another kind"))
    say("described", (await store.get_info("other")).description)
    await store.delete("large")
    await attempt("get what is deleted", store.get("large"))
    watcher = await store.watch()
    seen = []
    while (entry := await watcher.updates(timeout=5)) is not None:
        seen.append((entry.name, bool(entry.deleted)))
    say("watched", sorted(seen))
    say("sealed", await store.seal() is not None)
    await attempt("put into what is sealed", store.put("late", b"no"))
    status = await store.status()
    say("status", status.bucket, status.sealed)
    say("delete the store", await js.delete_object_store("files"))


async def main():
    connection = await nats.connect(sys.argv[1])
    js = connection.jetstream(timeout=5)
    info = await js.account_info()
    say("account", info.streams, info.consumers)
    await streams(js)
    await consumers(js)
    await key_value(js)
    await times_to_live(js)
    await objects(js)
    await connection.close()


asyncio.run(main())
