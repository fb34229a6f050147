// Query: the posts with their comments, put together from the events.
import { app, history, listen } from "./service.js";

const posts = {};

function handle({ type, data }) {
  if (type === "PostCreated") {
    posts[data.id] = { id: data.id, title: data.title, comments: [] };
  } else if (type === "CommentCreated") {
    const { id, content, status } = data;
    posts[data.postId].comments.push({ id, content, status });
  } else if (type === "CommentUpdated") {
    const comment = posts[data.postId].comments.find((comment) => comment.id === data.id);
    comment.content = data.content;
    comment.status = data.status;
  }
}

app.get("/posts", (_request, response) => response.send(posts));

app.post("/events", (request, response) => {
  handle(request.body);
  response.send({});
});

for (const event of await history()) {
  handle(event);
}

listen("query");
