// The types that openapi-typescript made of the document, and openapi-fetch over them: stage, wait, list,
// a refusal, documents. Run as `node with_typescript.mjs BASE_URL TOKEN ARCHIVE_URL`; a collection of
// documents is read from standard input.

import { randomUUID } from "node:crypto";
import { text } from "node:stream/consumers";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Staging = components["schemas"]["StagingBody"];

const [baseUrl, token, archiveUrl] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

async function staged(): Promise<Staging> {
  const marker = randomUUID();
  const { data, error } = await client.POST("/api/v1.0/stagings", {
    params: { header: { "Idempotency-Key": randomUUID(), "X-Context-Marker": marker } },
    body: { archive_url: archiveUrl },
  });
  if (error) throw new Error(error.detail);
  if (data.reference_id !== marker) throw new Error("another marker");
  return data;
}

async function waitedFor(staging: Staging): Promise<Staging> {
  let etag = "";
  while (!["staged", "failed", "cancelled"].includes(staging.state)) {
    const { data, response } = await client.GET("/api/v1.0/stagings/{staging_id}", {
      params: {
        path: { staging_id: staging.id },
        header: { Prefer: "wait=5", "If-None-Match": etag },
      },
    });
    if (data) [staging, etag] = [data, response.headers.get("ETag") ?? ""];
  }
  return staging;
}

async function documents(): Promise<string> {
  const posted = await client.POST("/api/v1.0/configdocs/{collection}", {
    params: { path: { collection: "generated" }, query: { buffermode: "append" } },
    headers: { "Content-Type": "application/x-yaml" },
    body: await text(process.stdin),
    bodySerializer: (body) => body,
  });
  if (posted.response.status !== 201) throw new Error(JSON.stringify(posted.error));
  const { data } = await client.POST("/api/v1.0/commitconfigdocs");
  if (data?.status !== "Success") throw new Error(data?.message);
  const rendered = await client.GET("/api/v1.0/renderedconfigdocs", {
    params: { query: { version: "committed" } },
    parseAs: "text",
  });
  return rendered.data ?? "";
}

const staging = await waitedFor(await staged());
const listed = await client.GET("/api/v1.0/stagings", { params: { query: { archive_url: archiveUrl } } });
const artifacts = await client.GET("/api/v1.0/artifacts", {
  params: { query: { archive_url: archiveUrl, state: "staged" } },
});
const refused = await client.POST("/api/v1.0/stagings", {
  body: { archive_url: "https://elsewhere.example/x" },
});
const unknown = await client.GET("/api/v1.0/stagings/{staging_id}", {
  params: { path: { staging_id: "00000000000000000000000000" } },
});
console.log(
  JSON.stringify({
    state: staging.state,
    requested: staging.requested,
    marker: staging.reference_id,
    listed: listed.data?.items.map((each) => each.id).join() === staging.id,
    artifacts: artifacts.data?.items.map((each) => each.name).sort(),
    refused: refused.error?.code,
    unknown: [unknown.error?.status, unknown.error?.code, unknown.error?.help],
    rendered: await documents(),
  }),
);
