// Payments: whoever pays is charged by a sandbox, of which orders hear.
import { randomBytes } from "node:crypto";
import { app, emit, listen } from "./service.js";

app.post("/payments", async (request, response) => {
  const payment = { id: randomBytes(4).toString("hex"), order_id: request.body.order_id };
  await emit("PaymentCreated", payment);
  response.status(202).send(payment);
});

app.post("/events", (_request, response) => response.send({}));

listen("payments");
