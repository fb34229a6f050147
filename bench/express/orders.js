// Orders: a ticket is one buyer's until the order is paid or over.
import { randomBytes } from "node:crypto";
import { app, emit, listen } from "./service.js";

const LASTS = 15 * 60 * 1000;
const tickets = {};
const orders = {};
const orderOf = {};

async function end(order, status, type) {
  if (order.status !== "reserved") {
    return;
  }
  order.status = status;
  if (status !== "paid") {
    delete orderOf[order.ticket_id];
  }
  await emit(type, order);
}

app.post("/orders", async (request, response) => {
  const { ticket_id, price } = request.body;
  const ticket = tickets[ticket_id];
  if (!ticket) {
    return response.status(422).send({ errors: ["There is no such ticket."] });
  }
  if (orderOf[ticket_id] || ticket.price.amount !== price.amount) {
    return response.status(409).send({ errors: ["The ticket cannot be had."] });
  }
  const expires_at = new Date(Date.now() + LASTS).toISOString();
  const order = { id: randomBytes(4).toString("hex"), ticket_id, price, status: "reserved", expires_at };
  orders[order.id] = order;
  orderOf[ticket_id] = order;
  setTimeout(() => end(order, "expired", "OrderExpired"), LASTS);
  await emit("OrderCreated", order);
  response.status(201).send(order);
});

app.delete("/orders/:id", async (request, response) => {
  await end(orders[request.params.id], "cancelled", "OrderCancelled");
  response.status(204).send();
});

app.post("/events", async (request, response) => {
  const { type, data } = request.body;
  if (type === "TicketCreated") {
    tickets[data.id] = data;
  } else if (type === "PaymentCreated") {
    await end(orders[data.order_id], "paid", "OrderPaid");
  }
  response.send({});
});

listen("orders");
