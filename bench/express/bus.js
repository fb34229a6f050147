// The event bus: keeps every event, and sends it on to every service, whether it is there or not.
import { app, isThere, listen, send } from "./service.js";

const SERVICES = ["posts", "comments", "query", "moderation", "tickets", "orders", "payments"].filter(isThere);
const events = [];

app.get("/events", (_request, response) => response.send(events));

app.post("/events", (request, response) => {
  events.push(request.body);
  for (const service of SERVICES) {
    send(service, "/events", request.body).catch((error) => console.error(`${service}: ${error.message}`));
  }
  response.send({});
});

listen("bus");
