// Posts: creates them and lists its own.
import { randomBytes } from "node:crypto";
import { app, emit, listen } from "./service.js";

const posts = {};

app.get("/posts", (_request, response) => response.send(posts));

app.post("/posts", async (request, response) => {
  const post = { id: randomBytes(4).toString("hex"), title: request.body.title };
  posts[post.id] = post;
  await emit("PostCreated", post);
  response.status(201).send(post);
});

app.post("/events", (_request, response) => response.send({}));

listen("posts");
