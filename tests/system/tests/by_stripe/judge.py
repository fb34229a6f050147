"""Signs a body in many ways, and says what Stripe's own library thinks of each: a line of JSON with the header and whether it counts.

The secret is the argument, the body comes in."""

import json
import sys
import time

import stripe

secret, body = sys.argv[1], sys.stdin.read()
now = int(time.time())


def signed(at=now, by=secret, what=body):
    return stripe.WebhookSignature.generate_signature_header(what, by, at)


good = signed()
at, signature = good.split(",")
wrong = signed(by="whsec_other").split(",")[1]
headers = [
    good,
    signed(now - 200),
    signed(now - 3600),
    signed(by="whsec_other"),
    signed(what=body + " "),
    f"{at},{wrong},{signature}",
    f"{at},{signature},{wrong}",
    f"{at},{wrong}",
    f"{at},{signature},v0=0",
    f"{at},{signature.replace('v1', 'v0')}",
    f"t={now - 1},{signature}",
    f"{at},v1=",
    f"{signature}",
    f"{at}",
    "",
]
for header in headers:
    try:
        stripe.Webhook.construct_event(body, header, secret)
        counts = True
    except stripe.SignatureVerificationError:
        counts = False
    print(json.dumps({"header": header, "counts": counts}))
