// Comments: each waits for its moderation, of which everybody hears.
import { randomBytes } from "node:crypto";
import { app, emit, listen } from "./service.js";

const commentsOf = {};

app.get("/posts/:id/comments", (request, response) => response.send(commentsOf[request.params.id] ?? []));

app.post("/posts/:id/comments", async (request, response) => {
  const comment = { id: randomBytes(4).toString("hex"), content: request.body.content, status: "pending" };
  const postId = request.params.id;
  (commentsOf[postId] ??= []).push(comment);
  await emit("CommentCreated", { ...comment, postId });
  response.status(201).send(comment);
});

app.post("/events", async (request, response) => {
  const { type, data } = request.body;
  if (type === "CommentModerated") {
    const comment = commentsOf[data.postId].find((comment) => comment.id === data.id);
    comment.status = data.status;
    await emit("CommentUpdated", data);
  }
  response.send({});
});

listen("comments");
