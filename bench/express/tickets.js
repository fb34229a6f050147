// Tickets: somebody offers one, everybody sees whether it can be had.
import { randomBytes } from "node:crypto";
import { app, emit, listen } from "./service.js";

const tickets = {};

app.get("/tickets/:id", (request, response) => response.send(tickets[request.params.id]));

app.post("/tickets", async (request, response) => {
  const { title, price } = request.body;
  const ticket = { id: randomBytes(4).toString("hex"), title, price, status: "for_sale" };
  tickets[ticket.id] = ticket;
  await emit("TicketCreated", ticket);
  response.status(201).send(ticket);
});

const AFTER = { OrderCreated: "reserved", OrderPaid: "sold", OrderCancelled: "for_sale", OrderExpired: "for_sale" };

app.post("/events", (request, response) => {
  const { type, data } = request.body;
  if (AFTER[type]) {
    tickets[data.ticket_id].status = AFTER[type];
  }
  response.send({});
});

listen("tickets");
