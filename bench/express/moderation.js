// Moderation: a comment with a certain word in it is rejected.
import { app, emit, listen } from "./service.js";

app.post("/events", async (request, response) => {
  const { type, data } = request.body;
  if (type === "CommentCreated") {
    const status = data.content.includes("orange") ? "rejected" : "approved";
    await emit("CommentModerated", { ...data, status });
  }
  response.send({});
});

listen("moderation");
