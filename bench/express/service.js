// What the processes share: where each one listens, how it starts, and how it tells the event bus something.
import express from "express";

const address = (service) => process.env[`${service.toUpperCase()}_ADDRESS`];

export const isThere = (service) => address(service) !== undefined;

export const app = express();
app.use(express.json());

export function send(service, path, body) {
  return fetch(`http://${address(service)}${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }).then((response) => response.arrayBuffer());
}

export const emit = (type, data) => send("bus", "/events", { type, data });

export const history = () => fetch(`http://${address("bus")}/events`).then((response) => response.json());

export function listen(service) {
  const [host, port] = address(service).split(":");
  app.listen(Number(port), host, () => console.log(`${service} http://${host}:${port}`));
}
