// A journey through the API as an application makes it, with the stock AWS SDK for
// JavaScript. The endpoint is the argument; region and credentials are where the SDK
// looks for them, in AWS_*. It ends with status 0 when all was as it should be.
import assert from "node:assert/strict";
import {
  ChannelNotBroadcasting,
  ConflictException,
  CreateChannelCommand,
  CreatePlaybackRestrictionPolicyCommand,
  CreateStreamKeyCommand,
  DeleteChannelCommand,
  DeletePlaybackRestrictionPolicyCommand,
  GetChannelCommand,
  GetStreamCommand,
  IvsClient,
  IvsServiceException,
  ListTagsForResourceCommand,
  ResourceNotFoundException,
  ServiceQuotaExceededException,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateChannelCommand,
  ValidationException,
  paginateListChannels,
} from "@aws-sdk/client-ivs";

const endpoint = process.argv[2];
const ivs = new IvsClient({ endpoint, maxAttempts: 1 });

/** refused asks that a command fails with one of the model's exceptions. */
async function refused(command, type, status, text) {
  await assert.rejects(ivs.send(command), (err) => {
    assert.ok(err instanceof type, `${command.constructor.name} failed with ${err}, want ${type.name}`);
    assert.ok(err instanceof IvsServiceException);
    assert.equal(err.$metadata.httpStatusCode, status);
    assert.match(err.$metadata.requestId ?? "", /^[0-9a-f-]{36}$/);
    assert.match(err.message, text);
    assert.equal(err.name, type.name);
    assert.equal(err.exceptionMessage, err.message);
    return true;
  });
}

// create, and get the same
const made = await ivs.send(new CreateChannelCommand({
  name: "from-js", type: "BASIC", insecureIngest: true, tags: { env: "test", "team:a": "x / y" },
}));
const arn = made.channel.arn;
assert.equal(made.$metadata.httpStatusCode, 200);
assert.match(arn, /^arn:aws:ivs:[a-z0-9-]+:\d{12}:channel\/[0-9A-Za-z]{12}$/);
assert.match(made.streamKey.value, /^sk_/);
assert.equal(made.channel.latencyMode, "LOW");
assert.ok(made.channel.playbackUrl.startsWith(endpoint));
assert.deepEqual((await ivs.send(new GetChannelCommand({ arn }))).channel, made.channel);

// list, by pages
const arns = new Set([arn]);
for (let i = 0; i < 6; i++) {
  arns.add((await ivs.send(new CreateChannelCommand({ name: `page-${i}` }))).channel.arn);
}
const pages = [];
for await (const page of paginateListChannels({ client: ivs, pageSize: 3 }, {})) {
  pages.push(page.channels);
}
assert.deepEqual(pages.map((p) => p.length), [3, 3, 1]);
assert.deepEqual(new Set(pages.flat().map((c) => c.arn)), arns);

// update: what is not given stays
const { channel: updated } = await ivs.send(new UpdateChannelCommand({ arn, latencyMode: "NORMAL", authorized: true }));
assert.deepEqual(updated, { ...made.channel, latencyMode: "NORMAL", authorized: true });

// tag, whose ARN is in the path
await ivs.send(new TagResourceCommand({ resourceArn: arn, tags: { "Größe / 大": "a=b @ +1", env: "live" } }));
await ivs.send(new UntagResourceCommand({ resourceArn: arn, tagKeys: ["team:a", "not there"] }));
assert.deepEqual((await ivs.send(new ListTagsForResourceCommand({ resourceArn: arn }))).tags, { "Größe / 大": "a=b @ +1", env: "live" });

// errors have the types of the model
const absent = arn.replace(/[^/]+$/, "AbsentAbsent");
await refused(new GetChannelCommand({ arn: absent }), ResourceNotFoundException, 404, /AbsentAbsent/);
await refused(new GetStreamCommand({ channelArn: arn }), ChannelNotBroadcasting, 404, /\S/);
await refused(new CreateChannelCommand({ name: "two words" }), ValidationException, 400, /name/);
await refused(new CreateStreamKeyCommand({ channelArn: arn }), ServiceQuotaExceededException, 402, /\S/);
const { playbackRestrictionPolicy: policy } = await ivs.send(new CreatePlaybackRestrictionPolicyCommand({ allowedCountries: ["DE"] }));
await ivs.send(new UpdateChannelCommand({ arn, playbackRestrictionPolicyArn: policy.arn }));
await refused(new DeletePlaybackRestrictionPolicyCommand({ arn: policy.arn }), ConflictException, 409, /\S/);
const stranger = new IvsClient({ endpoint, maxAttempts: 1, credentials: { accessKeyId: "AKIAAAAAAAAAAAAAAAAA", secretAccessKey: "x" } });
await assert.rejects(stranger.send(new GetChannelCommand({ arn })), { name: "UnrecognizedClientException" });

// delete
for (const gone of arns) {
  const out = await ivs.send(new DeleteChannelCommand({ arn: gone }));
  assert.equal(out.$metadata.httpStatusCode, 204);
}
await refused(new DeleteChannelCommand({ arn }), ResourceNotFoundException, 404, /\S/);
for await (const page of paginateListChannels({ client: ivs }, {})) {
  assert.deepEqual(page.channels, []);
}
