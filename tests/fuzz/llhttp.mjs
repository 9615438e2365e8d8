// Reads requests with llhttp, the parser that node has inside. Each line of standard input is a stream of bytes in
// base64; each line of standard output tells what was read of it, as JSON:
// {"requests": [[method, target, body], …], "end": "open" | "closed" | "refused", "error": code or null}.
import { HTTPParser, methods } from "node:_http_common";
import { createInterface } from "node:readline";

const base64 = (text) => Buffer.from(text, "latin1").toString("base64");

function read(bytes) {
  const requests = [];
  const parser = new HTTPParser();
  let [target, method, body, isInBody, isLast] = ["", 0, [], false, false];
  parser.initialize(HTTPParser.REQUEST, {});
  parser[HTTPParser.kOnHeaders] = (headers, url) => { if (!isInBody) target += url; };
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, headers, number, url, status, reason, upgrade, keepAlive) => {
    [target, method, body, isInBody, isLast] = [url ?? target, number, [], true, !keepAlive];
    return methods[number] === "CONNECT" ? 2 : 0; // an upgrade is ignored
  };
  parser[HTTPParser.kOnBody] = (part) => body.push(Buffer.from(part));
  parser[HTTPParser.kOnMessageComplete] = () => {
    requests.push([methods[method], base64(target), Buffer.concat(body).toString("base64")]);
    [target, isInBody] = ["", false];
  };
  let error = null;
  // After a message with an upgrade, the parser stops to let somebody else read on. Nobody does.
  for (let start = 0; start < bytes.length && error === null && !isLast; ) {
    const result = parser.execute(bytes.subarray(start));
    if (result instanceof Error) error = result.code;
    else if (result === 0) error = `STUCK at ${start} ${JSON.stringify(requests)}`;
    else start += result;
    if (requests.at(-1)?.[0] === "CONNECT") error = "CONNECT";
  }
  // A message that is the last one may be refused too.
  const isRefused = error !== null && error !== "HPE_CLOSED_CONNECTION";
  return { requests, end: isRefused ? "refused" : error || isLast ? "closed" : "open", error };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(read(Buffer.from(line, "base64"))));
}
