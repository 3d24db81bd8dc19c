// Publishes the camera and the microphone by WHIP (RFC 9725), as a page of its own would.
const { publication } = window;

window.publish = async ({ endpoint, key, width, height, fps }) => {
  const camera = await navigator.mediaDevices.getUserMedia({ video: { width, height, frameRate: fps }, audio: true });
  const pc = new RTCPeerConnection();
  pc.onconnectionstatechange = () => publication.state(pc.connectionState);
  for (const track of camera.getTracks()) pc.addTransceiver(track, { direction: 'sendonly' });
  await pc.setLocalDescription();
  const authorization = `Bearer ${key}`;
  const answer = await fetch(`${endpoint}/whip`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/sdp' },
    body: pc.localDescription.sdp,
  });
  const text = await answer.text();
  if (answer.status !== 201) throw Object.assign(new Error(text.trim()), { name: 'WHIP', code: answer.status });
  await pc.setRemoteDescription({ type: 'answer', sdp: text });
  const session = new URL(answer.headers.get('location'), answer.url);
  publication.session(session.pathname);
  return async () => {
    const deleted = await fetch(session, { method: 'DELETE', headers: { authorization } });
    if (!deleted.ok) throw Object.assign(new Error('DELETE'), { name: 'WHIP', code: deleted.status });
  };
};
