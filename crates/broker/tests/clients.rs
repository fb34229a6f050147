//! An ordinary NATS client through the listener, and clients that do not behave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, consumer, stream};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trellis_broker::{Broker, Message, Settings, SystemClock};
use trellis_store::Store;

const PATIENCE: Duration = Duration::from_secs(20);

async fn serve(settings: Settings) -> (Broker, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let broker = Broker::open_with(Store::in_memory(), Arc::new(SystemClock), settings).await.unwrap();
    let serving = broker.clone();
    tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
    (broker, address)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this should not take long")
}

#[tokio::test]
async fn publish_subscribe_request_queue() {
    let (broker, address) = serve(Settings::default()).await;
    let client = async_nats::connect(&address).await.unwrap();
    let mut subscription = client.subscribe("greet.*").await.unwrap();
    client.flush().await.unwrap();
    client.publish("greet.joe", "hello".into()).await.unwrap();
    assert_eq!(soon(subscription.next()).await.unwrap().payload, "hello");
    broker.publish(Message::new("greet.ann".try_into().unwrap(), "from inside")).await.unwrap();
    assert_eq!(soon(subscription.next()).await.unwrap().subject.as_str(), "greet.ann");

    let mut service = client.queue_subscribe("svc", "members".into()).await.unwrap();
    client.flush().await.unwrap();
    let answering = client.clone();
    tokio::spawn(async move {
        while let Some(request) = service.next().await {
            answering.publish(request.reply.unwrap(), request.payload).await.unwrap();
        }
    });
    assert_eq!(soon(client.request("svc", "ping".into())).await.unwrap().payload, "ping");
    let inside = broker.request("svc", None, "from inside", PATIENCE).await.unwrap();
    assert_eq!(inside.payload, "from inside");
    let nobody = soon(client.request("nobody", "".into())).await.unwrap_err();
    assert_eq!(nobody.kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn streams_and_pull_consumers() {
    let (_broker, address) = serve(Settings::default()).await;
    let context = jetstream::new(async_nats::connect(&address).await.unwrap());
    let config =
        stream::Config { name: "EVENTS".into(), subjects: vec!["events.>".into()], ..Default::default() };
    let mut stream = context.create_stream(config).await.unwrap();
    for number in 0..50 {
        let ack = context.publish(format!("events.{}", number % 5), number.to_string().into()).await.unwrap();
        assert_eq!(soon(ack.into_future()).await.unwrap().sequence, number + 1);
    }
    assert_eq!(stream.info().await.unwrap().state.messages, 50);
    assert_eq!(stream.get_raw_message(7).await.unwrap().payload, "6");
    assert_eq!(stream.get_last_raw_message_by_subject("events.3").await.unwrap().sequence, 49);

    let config = consumer::pull::Config {
        durable_name: Some("puller".into()),
        filter_subject: "events.1".into(),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut fetched = consumer.fetch().max_messages(4).messages().await.unwrap();
    let mut count = 0;
    while let Some(message) = soon(fetched.next()).await {
        message.unwrap().ack().await.unwrap();
        count += 1;
    }
    assert_eq!(count, 4);
    let mut messages = consumer.messages().await.unwrap();
    for _ in 0..6 {
        let message = soon(messages.next()).await.unwrap().unwrap();
        assert_eq!(message.subject.as_str(), "events.1");
        soon(message.double_ack()).await.unwrap();
    }
    context.publish("events.1", "live".into()).await.unwrap().await.unwrap();
    let live = soon(messages.next()).await.unwrap().unwrap();
    assert_eq!((live.payload.as_ref(), live.info().unwrap().stream_sequence), (&b"live"[..], 51));
}

#[tokio::test]
async fn push_and_ordered_consumers() {
    let (_broker, address) = serve(Settings::default()).await;
    let client = async_nats::connect(&address).await.unwrap();
    let context = jetstream::new(client.clone());
    let config =
        stream::Config { name: "EVENTS".into(), subjects: vec!["events.>".into()], ..Default::default() };
    let stream = context.create_stream(config).await.unwrap();
    for number in 0..20 {
        context.publish("events.a", number.to_string().into()).await.unwrap().await.unwrap();
    }
    let config = consumer::push::Config {
        durable_name: Some("pushed".into()),
        deliver_subject: client.new_inbox(),
        deliver_group: Some("group".into()),
        ..Default::default()
    };
    let mut pushed = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    for number in 0..20 {
        let message = soon(pushed.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, number.to_string());
        message.ack().await.unwrap();
    }
    let config = consumer::push::OrderedConfig { deliver_subject: client.new_inbox(), ..Default::default() };
    let mut ordered = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    for number in 0..20 {
        assert_eq!(soon(ordered.next()).await.unwrap().unwrap().payload, number.to_string());
    }
    let config = consumer::pull::OrderedConfig::default();
    let mut ordered = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    for number in 0..20 {
        assert_eq!(soon(ordered.next()).await.unwrap().unwrap().payload, number.to_string());
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_the_others_go_on() {
    let settings = Settings { pending_bytes_max: 256 * 1024, ..Settings::default() };
    let (broker, address) = serve(settings).await;
    let mut lazy = TcpStream::connect(&address).await.unwrap();
    lazy.write_all(b"CONNECT {\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("PONG") {
        assert_ne!(soon(lazy.read_buf(&mut seen)).await.unwrap(), 0);
    }
    let mut inside = broker.subscribe_with("flood", None, 10_000).unwrap();
    // More than any socket buffers on the way can hold.
    for _ in 0..2_000 {
        broker.publish(Message::new("flood".try_into().unwrap(), vec![0; 16 * 1024])).await.unwrap();
    }
    for _ in 0..2_000 {
        soon(inside.next()).await.unwrap();
    }
    let mut rest = Vec::new();
    soon(lazy.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(b"-ERR 'Slow Consumer'\r\n"), "the last words say why");
}

#[tokio::test]
async fn silent_peers_and_crowds_are_turned_away() {
    let settings =
        Settings { ping_interval: Duration::from_millis(50), connections_max: 1, ..Settings::default() };
    let (_broker, address) = serve(settings).await;
    let mut silent = TcpStream::connect(&address).await.unwrap();
    let mut said = vec![0; 5];
    soon(silent.read_exact(&mut said)).await.unwrap();
    let mut second = TcpStream::connect(&address).await.unwrap();
    let mut refused = String::new();
    soon(second.read_to_string(&mut refused)).await.unwrap();
    assert_eq!(refused, "-ERR 'maximum connections exceeded'\r\n");
    let mut rest = String::new();
    soon(silent.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.ends_with("PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"), "{rest}");
}

#[tokio::test]
async fn a_stopped_server_lets_its_clients_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let broker = Broker::open(Store::in_memory(), Arc::new(SystemClock)).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.serve(listener, async { drop(stopped.await) }).await })
    };
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut said = vec![0; 5];
    soon(client.read_exact(&mut said)).await.unwrap();
    stop.send(()).unwrap();
    soon(serving).await.unwrap().unwrap();
    let mut rest = Vec::new();
    let _ = soon(client.read_to_end(&mut rest)).await;
    assert!(TcpStream::connect(address).await.is_err());
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn what_all_clients_send_together_takes_bounded_memory() {
    const CLIENTS: usize = 20;
    const LEN: usize = 100_000;
    // Half of it is for messages that are being read: two of these.
    let settings = Settings { incoming_bytes_max: 4 * LEN, ..Settings::default() };
    let (broker, address) = serve(settings).await;
    let mut inside = broker.subscribe_with("large", None, CLIENTS).unwrap();
    let mut writing = Vec::new();
    let (go, gone) = tokio::sync::watch::channel(false);
    for _ in 0..CLIENTS {
        let (address, mut gone) = (address.clone(), gone.clone());
        writing.push(tokio::spawn(async move {
            let mut client = TcpStream::connect(&address).await.unwrap();
            let head = format!("CONNECT {{\"verbose\":false}}\r\nPUB large {LEN}\r\n");
            let mut all = head.into_bytes();
            all.resize(all.len() + LEN - 1, b'x');
            client.write_all(&all).await.unwrap();
            gone.wait_for(|go| *go).await.unwrap();
            client.write_all(b"x\r\nPING\r\n").await.unwrap();
            let mut said = Vec::new();
            while !said.ends_with(b"PONG\r\n") {
                assert_ne!(client.read_buf(&mut said).await.unwrap(), 0);
            }
        }));
    }
    until("two are read", || broker.in_flight().reading == 2 * LEN).await;
    // Those wait for ever, and the others for them; what is small passes.
    let client = async_nats::connect(&address).await.unwrap();
    let mut small = client.subscribe("small").await.unwrap();
    for _ in 0..50 {
        client.publish("small", "hello".into()).await.unwrap();
        assert_eq!(soon(small.next()).await.unwrap().payload, "hello");
        assert_eq!(broker.in_flight().reading, 2 * LEN);
    }
    go.send(true).unwrap();
    for _ in 0..CLIENTS {
        assert_eq!(soon(inside.next()).await.unwrap().payload.len(), LEN);
        assert!(broker.in_flight().reading <= 2 * LEN);
    }
    for client in writing {
        soon(client).await.unwrap();
    }
    let nothing = || broker.in_flight().reading + broker.in_flight().publishing == 0;
    until("all of it is given back", nothing).await;
}

#[tokio::test]
async fn a_client_that_stops_within_a_large_message_is_cut_off() {
    let settings = Settings { payload_wait: Duration::from_millis(50), ..Settings::default() };
    let (broker, address) = serve(settings).await;
    let mut client = TcpStream::connect(&address).await.unwrap();
    client.write_all(b"CONNECT {\"verbose\":false}\r\nPUB large 100000\r\nxxx").await.unwrap();
    let mut rest = String::new();
    soon(client.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.ends_with("-ERR 'Stale Connection'\r\n"), "{rest}");
    until("its room is given back", || broker.in_flight().reading == 0).await;
}

#[tokio::test]
async fn what_waits_for_all_clients_together_takes_bounded_memory() {
    const MAX: usize = 1 << 20;
    let settings = Settings { pending_bytes_of_all_max: MAX, ..Settings::default() };
    let (broker, address) = serve(settings).await;
    let mut lazy = Vec::new();
    for _ in 0..4 {
        let mut client = TcpStream::connect(&address).await.unwrap();
        client.write_all(b"CONNECT {\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n").await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"PONG\r\n") {
            assert_ne!(soon(client.read_buf(&mut seen)).await.unwrap(), 0);
        }
        lazy.push(client);
    }
    // More than any socket buffers on the way can hold.
    for _ in 0..4_000 {
        broker.publish(Message::new("flood".try_into().unwrap(), vec![0; 16 * 1024])).await.unwrap();
        assert!(broker.in_flight().outgoing <= MAX);
        tokio::task::yield_now().await;
    }
    for mut client in lazy {
        let mut rest = Vec::new();
        soon(client.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.ends_with(b"-ERR 'Slow Consumer'\r\n"), "the last words say why");
    }
    until("all of it is given back", || broker.in_flight().outgoing == 0).await;
}

#[tokio::test]
async fn one_peer_leaves_connections_for_others() {
    let settings = Settings { connections_of_peer_max: 2, ..Settings::default() };
    let (_broker, address) = serve(settings).await;
    let connect = async |from: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut client = socket.connect(address.parse().unwrap()).await.unwrap();
        let mut said = vec![0; 5];
        soon(client.read_exact(&mut said)).await.unwrap();
        (String::from_utf8(said).unwrap(), client)
    };
    let (first, second) = (connect("127.0.0.1").await, connect("127.0.0.1").await);
    assert_eq!((first.0.as_str(), second.0.as_str()), ("INFO ", "INFO "));
    assert_eq!(connect("127.0.0.1").await.0, "-ERR ");
    assert_eq!(connect("127.0.0.2").await.0, "INFO ");
    drop(first);
    for _ in 0..2_000 {
        if connect("127.0.0.1").await.0 == "INFO " {
            return;
        }
    }
    panic!("the place was not given back");
}
