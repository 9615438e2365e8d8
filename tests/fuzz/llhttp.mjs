// Reads requests with llhttp, the parser that node has inside. Each line of standard input is a stream of bytes in
// base64; each line of standard output tells what was read of it, as JSON:
// {"requests": [[method, target, body], …], "end": "open" | "closed" | "refused", "error": code or null}.
import { HTTPParser, methods } from "node:_http_common";
import { createInterface } from "node:readline";

const base64 = (text) => Buffer.from(text, "latin1").toString("base64");

function read(bytes) {
  const requests = [];
  let [target, method, body, isInBody, isLast, isUpgrade] = ["", 0, [], false, false, false];
  const begin = () => {
    const parser = new HTTPParser();
    parser.initialize(HTTPParser.REQUEST, {});
    parser[HTTPParser.kOnHeaders] = (headers, url) => { if (!isInBody) target += url; };
    parser[HTTPParser.kOnHeadersComplete] = (major, minor, headers, number, url, status, reason, upgrade, keepAlive) => {
      [target, method, body, isInBody, isLast, isUpgrade] = [url ?? target, number, [], true, !keepAlive, upgrade];
      return methods[number] === "CONNECT" ? 2 : 0; // an upgrade is ignored
    };
    parser[HTTPParser.kOnBody] = (part) => body.push(Buffer.from(part));
    parser[HTTPParser.kOnMessageComplete] = () => {
      requests.push([methods[method], base64(target), Buffer.concat(body).toString("base64")]);
      [target, isInBody] = ["", false];
    };
    return parser;
  };
  let [parser, error] = [begin(), null];
  for (let start = 0; start < bytes.length && error === null && !isLast; ) {
    const result = parser.execute(bytes.subarray(start));
    if (result instanceof Error) error = result.code;
    else if (result === 0) error = `STUCK at ${start} ${JSON.stringify(requests)}`;
    else start += result;
    // After a message with an upgrade, the parser stops to let somebody else read on. Nobody does. It would not tell
    // what is wrong with the next message, so another parser reads that.
    if (isUpgrade && !isInBody) [parser, isUpgrade] = [begin(), false];
    if (requests.at(-1)?.[0] === "CONNECT") error = "CONNECT";
  }
  // A message that is the last one may be refused too.
  const isRefused = error !== null && error !== "HPE_CLOSED_CONNECTION";
  return { requests, end: isRefused ? "refused" : error || isLast ? "closed" : "open", error };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(read(Buffer.from(line, "base64"))));
}
