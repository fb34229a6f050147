//! Subjects, queue groups, requests, and what the protocol refuses.

use crate::client::Client;

pub async fn core_messages(a: &mut Client) {
    a.subscribe("10", "t.a", "").await;
    a.subscribe("11", "t.*", "").await;
    a.subscribe("12", "t.>", "").await;
    a.subscribe("13", "*.b.*", "").await;
    for subject in ["t", "t.a", "t.b", "t.b.c", "x.b.c", "t.a.b.c"] {
        a.publish(subject, "hello").await;
        a.quiet_sorted().await;
    }
    a.unsubscribe("12", "").await;
    a.publish("t.a", "two are left").await;
    a.quiet_sorted().await;
    a.unsubscribe("10", "1").await;
    a.publish("t.a", "the limit is past").await;
    a.quiet_sorted().await;
    a.subscribe("14", "limited", "").await;
    a.unsubscribe("14", "2").await;
    for number in 0..4 {
        a.publish("limited", &number.to_string()).await;
    }
    a.expect(2).await;
    a.publish_to("t.b", "answer.here", "with a reply").await;
    a.expect(1).await;
    a.ask("nobody.there", "hello?").await;
    a.raw("PUB no.reply 2\r\nhi\r\n").await;
    a.raw("PUB t.b nobody.here 2\r\nhi\r\n").await;

    let mut b = a.another("b").await;
    b.subscribe("20", "work", "q").await;
    a.subscribe("15", "work", "q").await;
    a.subscribe("16", "work", "other").await;
    for number in 0..3 {
        a.publish("work", &number.to_string()).await;
    }
    // Which member of a group gets a message is the server's choice; the other group's only member gets all.
    a.drain_only("16", 3).await;
    a.unsubscribe("15", "").await;
    a.unsubscribe("16", "").await;
    a.forget().await;
    b.forget().await;
    a.publish("work", "only b is left").await;
    b.expect(1).await;
    b.publish("t.b", "from b").await;
    a.expect(1).await;

    let mut quiet = a.another_with("c", r#"{"verbose":false,"echo":false,"headers":false}"#).await;
    quiet.subscribe("30", "t.*", "").await;
    quiet.publish("t.b", "no echo").await;
    a.expect(1).await;
    a.raw("HPUB t.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").await;
    quiet.expect(1).await;
    quiet.raw("HPUB t.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").await;
    a.forget().await;
    let mut loud =
        a.another_with("d", r#"{"verbose":true,"pedantic":true,"headers":true,"no_responders":true}"#).await;
    loud.raw("SUB a.b 40\r\nPUB a.b 2\r\nhi\r\nUNSUB 40\r\nUNSUB 41\r\n").await;
    for sid in ["11", "13"] {
        a.unsubscribe(sid, "").await;
    }
}

pub async fn protocol_errors(a: &mut Client) {
    for text in [
        "FOO\r\n",
        "PUB\r\n",
        "PUB a b c d\r\n",
        "SUB a\r\n",
        "PUB a 99999999\r\n",
        "UNSUB\r\n",
        "CONNECT {\r\n",
        "PUB a 2\r\nhix\r\n",
        "HPUB a 5 4\r\n",
        "HPUB a 2 4\r\nhiho\r\n",
        "PUB a -1\r\n",
        "PUB a x\r\n",
        "SUB a b c d\r\n",
    ] {
        let mut client = a.another("bad").await;
        client.raw(text).await;
    }
    let mut client = a.another("bad").await;
    client.raw(&format!("PUB {} 2\r\n", "a".repeat(5000))).await;
    for text in ["SUB a..b 50\r\n", "SUB .a 51\r\n", "SUB a. 52\r\n", "SUB a.>.b 53\r\n", "SUB foo* 54\r\n"] {
        a.raw(text).await;
    }
    for text in
        ["sub lower 55\r\n", "PUB  lower   2\r\nhi\r\n", "unsub 55\r\n", "PUB a..b 2\r\nhi\r\n", "PING\r\n"]
    {
        a.raw(text).await;
    }
    a.ask("bad..subject", "").await;
}
