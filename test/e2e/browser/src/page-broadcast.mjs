// Publishes the camera and the microphone with the stock amazon-ivs-web-broadcast.
import IVSBroadcastClient from 'amazon-ivs-web-broadcast';

const { BASIC_LANDSCAPE, LOG_LEVEL, BroadcastClientEvents } = IVSBroadcastClient;
const { publication } = window;

window.publish = async ({ endpoint, key, width, height, fps }) => {
  const client = IVSBroadcastClient.create({
    ingestEndpoint: endpoint,
    streamConfig: { ...BASIC_LANDSCAPE, maxResolution: { width, height }, maxFramerate: fps },
    logLevel: LOG_LEVEL.ERROR,
  });
  client.on(BroadcastClientEvents.CONNECTION_STATE_CHANGE, (state) => publication.state(state));
  client.on(BroadcastClientEvents.ERROR, (e) => publication.error({ name: e.name, code: e.code, message: e.message }));
  const camera = await navigator.mediaDevices.getUserMedia({ video: { width, height, frameRate: fps }, audio: true });
  client.addVideoInputDevice(new MediaStream(camera.getVideoTracks()), 'camera', { index: 0 });
  client.addAudioInputDevice(new MediaStream(camera.getAudioTracks()), 'microphone');
  await client.startBroadcast(key);
  publication.session(client.getSessionId());
  return () => client.stopBroadcast();
};
