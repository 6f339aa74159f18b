// BullMQ on Redis, undici for the calls, Node's own HTTP server.
// node server.js PORT CAPILLARY_URL REDIS_PORT event|call: one job for each event, or one more for each call.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { Pool } from "undici";

const [port, capillaryUrl, redisPort, jobPer] = process.argv.slice(2);
const CALLS = 64;
const SECRET = "Bearer-bench";
const connected = () => new Redis({ host: "127.0.0.1", port: Number(redisPort), maxRetriesPerRequest: null });
const options = { attempts: 10, backoff: { type: "exponential", delay: 1000 }, removeOnComplete: true };
const queue = new Queue("syncs", { connection: connected(), defaultJobOptions: options });
const api = new Pool(capillaryUrl, { connections: CALLS, pipelining: 1 });
const password = createHash("md5").update("password").digest("hex");
const headers = {
  authorization: "Basic " + Buffer.from(`till.user:${password}`).toString("base64"),
  "content-type": "application/json",
};

async function call(method, path, body) {
  const answer = await api.request({ method, path, headers, body: body && JSON.stringify(body) });
  const said = await answer.body.json();
  if (answer.statusCode >= 400 || said.errors?.length) throw new Error(`answered ${answer.statusCode}`);
  return said;
}

function adjust({ customer, program, tier }) {
  return call("POST", `/v2/slab/manualSlabAdjustment?source=INSTORE&identifierName=id&identifierValue=${customer}`, {
    programId: program,
    slabAction: "UPGRADE",
    toSlabName: tier,
    manualSlabActionValidity: "AS_PER_TIER_STRATEGY",
    reassessTierOnNextActivity: false,
    slabChangeReason: "group sync",
  });
}

async function sync({ data }) {
  const tier = data.loyaltyProgramDetails.tiers.find((one) => one.tierNumber === data.upgradedTierNumber).tierName;
  const group = await call("GET", `/v2/userGroup2?primaryUserId=${data.customerIdentifiers.customerId}`);
  const owed = group.fleetGroupUsers
    .filter((user) => user.active && !user.primaryMember)
    .map((user) => ({ customer: user.userId, program: data.loyaltyProgramId, tier }));
  if (jobPer === "call") await queue.addBulk(owed.map((one) => ({ name: "adjust", data: one })));
  else await Promise.all(owed.map(adjust));
}

const worker = new Worker("syncs", (job) => (job.name === "adjust" ? adjust(job.data) : sync(job.data)), {
  connection: connected(),
  concurrency: CALLS,
});
worker.on("error", (error) => console.error(error.message));

createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    const known = request.headers.authorization === SECRET;
    if (known) await queue.add("sync", JSON.parse(Buffer.concat(parts)));
    const said = JSON.stringify({ status: known ? "accepted" : "unauthorized" });
    const more = { "content-type": "application/json", "content-length": Buffer.byteLength(said) };
    response.writeHead(known ? 200 : 401, more).end(said);
  });
}).listen(Number(port), "127.0.0.1");
