// sqs-consumer with pg, with HMAC tokens and AES-256-GCM ciphertexts: one INSERT for each receive of ten messages.
// DATABASE_URL and QUEUE_URL say where, CONCURRENCY how many consumers; it ends when the queue is empty.

import { createCipheriv, createHmac, randomBytes } from "node:crypto";
import { SQSClient } from "@aws-sdk/client-sqs";
import pg from "pg";
import { Consumer } from "sqs-consumer";

const INSERT = {
  name: "insert",
  text: `INSERT INTO sealed_logins (message_id, user_id, device_type, masked_ip, masked_device_id,
    ip_ciphertext, device_id_ciphertext, locale, app_version, create_date)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bytea[], $7::bytea[],
    $8::text[], $9::text[], $10::date[]) ON CONFLICT DO NOTHING`,
};

// Keys are random: nothing of a benchmark is opened again.
const sealingKey = randomBytes(32);
const tokenKey = randomBytes(32);

function token(value) {
  return createHmac("sha256", tokenKey).update(value).digest("hex").slice(0, 32);
}

function sealed(value) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", sealingKey, nonce);
  return Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
}

function columns(messages) {
  const today = new Date().toISOString().slice(0, 10);
  const made = Array.from({ length: 10 }, () => []);
  for (const message of messages) {
    const event = JSON.parse(message.Body);
    [
      message.MessageId,
      event.user_id,
      event.device_type,
      token(event.ip),
      token(event.device_id),
      sealed(event.ip),
      sealed(event.device_id),
      event.locale,
      event.app_version,
      today,
    ].forEach((value, index) => made[index].push(value));
  }
  return made;
}

const concurrency = Number(process.env.CONCURRENCY);
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: concurrency });
const sqs = new SQSClient({});
let running = concurrency;

for (let index = 0; index < concurrency; index += 1) {
  const consumer = Consumer.create({
    queueUrl: process.env.QUEUE_URL,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 1,
    handleMessageBatch: async (messages) => {
      await pool.query({ ...INSERT, values: columns(messages) });
      return messages;
    },
  });
  const fail = (error) => {
    console.error(error);
    process.exit(1);
  };
  consumer.on("error", fail);
  consumer.on("processing_error", fail);
  consumer.on("empty", () => consumer.stop());
  consumer.on("stopped", async () => {
    running -= 1;
    if (running === 0) await pool.end();
  });
  consumer.start();
}
